"""The tab on which a film is tuned, and the one for animations: the same parts with other settings."""

import hashlib
import json
import tomllib
from typing import Any

import gradio as gr

from dreamvid.errors import DreamvidError, SettingsError
from dreamvid.settings import Recipe, Settings, find_preset, list_presets, write_recipe
from dreamvid.settings.merge import expand_coherence
from dreamvid.settings.palettes import PALETTES
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.ui.studio.controls import FIRST_OF_RUN, FIRST_OF_ZOOM, Control, controls, shown_value
from dreamvid.ui.studio.doors import preset_from_browser, source_from_browser
from dreamvid.ui.studio.dreaming.requests import (
    AtlasRequest,
    LayersRequest,
    MotionRequest,
    PresetsRequest,
    PreviewRequest,
)
from dreamvid.ui.studio.film import cache_key
from dreamvid.ui.studio.page.parts import part
from dreamvid.ui.studio.page.state import OWN_SOUND, Kind, Pages, Tuning
from dreamvid.ui.studio.studio import Studio, trim_cache
from dreamvid.ui.studio.workspace import (
    IMAGE_SUFFIXES,
    RECIPES,
    RESULT_SUFFIXES,
    RESULTS,
    SOUND_SUFFIXES,
    SOURCES,
    VIDEO_SUFFIXES,
)
from dreamvid.video.mattes import MATTES

_FILES = ("mask", "palette", "audio", "weights", "text_weights", "flow_weights", "camera_path")
_MOST_PRESETS = 80
_MOST_CHANNELS = 240
# "multiple": by default an event is dropped while the one before is being answered.
_QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "trigger_mode": "multiple",
}


class TuningTab:
    """Builds the tab inside of a `gr.Blocks`, and answers its events."""

    def __init__(self, studio: Studio, pages: Pages, kind: Kind) -> None:
        self.studio, self.pages, self.kind = studio, pages, kind
        self.controls = controls(kind)
        self.components: dict[str, Any] = {}
        self._build()

    # --- what is there

    def _build(self) -> None:
        first = FIRST_OF_RUN if self.kind == "run" else FIRST_OF_ZOOM
        by_name = {control.name: control for control in self.controls}
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=520):
                events = ("moment", "preset", "keep", "use", "motion", "painted", "sound")
                self.stage = part("stage", events, elem_id=f"dv-stage-{self.kind}")
                self.code = part("code", elem_id=f"dv-code-{self.kind}")
            with gr.Column(scale=3, min_width=340, elem_id=f"dv-knobs-{self.kind}", elem_classes="dv-knobs"):
                self._build_actions()
                for name in first:
                    self._build_control(by_name[name])
                    if name == "objective":
                        self.objective = part("objective", ("atlas",), elem_id=f"dv-objective-{self.kind}")
                for group in GROUPS_OF_KIND[self.kind]:
                    rest = [
                        control for control in self.controls if control.group == group and control.name not in first
                    ]
                    if rest:
                        with gr.Accordion(group.capitalize(), open=False):
                            for control in rest:
                                self._build_control(control)
                self._build_more()
        self._listen()

    def _build_actions(self) -> None:
        film = "film" if self.kind == "run" else "animation"
        with gr.Row(equal_height=True):
            self.queue_button = gr.Button(f"Queue this {film}", variant="primary", elem_id=f"dv-enqueue-{self.kind}")
            self.format = gr.Dropdown(
                list(RESULT_SUFFIXES),
                value=".mp4",
                show_label=False,
                container=False,
                min_width=90,
                scale=0,
                elem_classes="dv-format",
            )
        self.presets = gr.Dropdown([], label="preset or recipe", allow_custom_value=True, elem_classes="dv-knob")
        # Comes back with the knobs: what a page sends before it has been told of other settings is out of date.
        self.revision = gr.Number(0, precision=0, visible="hidden")

    def _build_more(self) -> None:
        with gr.Accordion("Save as preset", open=False):
            self.name = gr.Textbox("", label="name", placeholder="my look", elem_id=f"dv-name-{self.kind}")
            self.save_button = gr.Button("Save", elem_id=f"dv-save-{self.kind}")
        with gr.Accordion("Queue more films with these settings", open=False, visible=self.kind == "run"):
            self.others = gr.Dropdown([], value=[], multiselect=True, label="films", elem_id="dv-others")

    def _build_control(self, control: Control) -> None:
        given: dict[str, Any] = {
            "label": control.label,
            "info": control.info,
            "elem_id": f"dv-{self.kind}-{control.name}",
            "elem_classes": "dv-knob",
        }
        component: Any
        if control.form in ("number", "whole number"):
            value = control.default if control.default is not None else 0.5
            component = gr.Slider(control.low or 0, control.high or 1, value=value, step=control.step, **given)
        elif control.form == "switch":
            component = gr.Checkbox(bool(control.default), **given)
        elif control.form == "choice":
            component = gr.Dropdown(list(control.choices), value=control.default, **given)
        elif control.name in _FILES:
            component = gr.Dropdown([""], value="", allow_custom_value=True, **given)
        else:
            lines = 2 if control.name == "objective" else 1
            component = gr.Textbox("" if control.default is None else str(control.default), lines=lines, **given)
        self.components[control.name] = component

    def _listen(self) -> None:
        shown: list[Any] = [self.stage, self.code]
        everything = [
            *shown,
            self.objective,
            self.presets,
            self.others,
            self.revision,
            *self.components.values(),
        ]
        self.everything = everything
        self.stage.moment(self._on_moment, outputs=[*shown, self.others], **_QUIET)
        self.stage.preset(self._on_preset, outputs=everything, **_QUIET)
        self.stage.use(self._on_use, outputs=everything, **_QUIET)
        self.stage.painted(self._on_painted, outputs=everything, **_QUIET)
        self.stage.sound(self._on_sound, outputs=everything, **_QUIET)
        self.stage.keep(self._on_keep, **_QUIET)
        self.stage.motion(self._on_motion, **_QUIET)
        self.objective.atlas(self._on_atlas, **_QUIET)
        self.presets.input(self._on_chosen, self.presets, everything, **_QUIET)
        knobs = [component for name, component in self.components.items() if name != "coherence"]
        # Gradio's text fields tell of keys as `input`, but of what is pasted or filled in only as `change`.
        texts = [component for component in knobs if isinstance(component, gr.Textbox)]
        gr.on(
            [*(component.input for component in knobs), *(component.change for component in texts)],
            self._on_knobs,
            [self.revision, *self.components.values()],
            shown,
            **{**_QUIET, "trigger_mode": "always_last"},
        )
        if "coherence" in self.components:
            self.components["coherence"].input(
                self._on_dial, self.components["coherence"], everything, **{**_QUIET, "trigger_mode": "always_last"}
            )
        self.queue_button.click(self._on_queue, [self.others, self.format], [self.queue_button], **_QUIET)
        self.save_button.click(self._on_save, self.name, [self.name, *everything], **_QUIET)

    # --- what happens

    def loaded(self, request: gr.Request) -> list[Any]:
        """Fill a page that was just opened."""
        with self.pages.using(request.session_hash, self.kind) as tuning:
            if not tuning.moment.source:
                videos = list(self.studio.workspace.files(SOURCES, *VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
                if videos:
                    tuning.look_at(self.studio.workspace.name(videos[0]), 0.0)
            if self.kind == "run":
                self.ask(tuning)
                self._ask_presets(tuning)
            self._ask_layers(tuning)
            return self.all(tuning)

    def opened(self, request: gr.Request) -> list[Any]:
        """Begin to dream on a tab that was opened after the page."""
        with self.pages.using(request.session_hash, self.kind) as tuning:
            if not tuning.number:
                self.ask(tuning)
                self._ask_presets(tuning)
            return self.all(tuning)

    def _on_moment(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            data = _data(event)
            if not tuning.is_newest("moment", data.get("n")):
                return [gr.skip(), gr.skip(), gr.skip()]
            try:
                if data.get("source") is None:  # the last one was deleted
                    tuning.leave()
                else:
                    tuning.look_at(data.get("source"), data.get("seconds"))
            except DreamvidError as error:
                tuning.error = str(error)
            else:
                self.ask(tuning)
                self._ask_presets(tuning)
            return [self._stage(tuning, fresh=True), tuning.code(), gr.update(choices=self._videos(tuning))]

    def _on_preset(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            if not tuning.is_newest("preset", _data(event).get("n")):
                return [gr.skip() for _ in self.everything]
            return self._choose(_data(event).get("name"), request)

    def _on_chosen(self, name: object, request: gr.Request) -> list[Any]:
        return self._choose(name, request)

    def _choose(self, name: object, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            model = tuning.shown().network
            try:
                tuning.choose(name)
                tuning.error = ""
            except DreamvidError as error:
                tuning.error = str(error)
            self.ask(tuning)
            if tuning.shown().network != model:
                self._ask_layers(tuning)
            return self.all(tuning)

    def _on_knobs(self, request: gr.Request, revision: float | None, *values: Any) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            if revision != tuning.revision:
                return [gr.skip(), gr.skip()]
            model, before = tuning.shown().network, dict(tuning.overrides)
            given = dict(zip(self.components, values, strict=True))
            given.pop("coherence", None)  # the dial shows its middle where it does not count; `_on_dial` takes it
            tuning.take(given)
            if tuning.overrides == before:  # the program itself has set the values
                return [gr.skip(), gr.skip()]
            self.ask(tuning)
            if tuning.shown().network != model:
                self._ask_layers(tuning)
            return [self._stage(tuning), tuning.code()]

    def _on_dial(self, value: float, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            dial = round(float(value), 3)
            for name in expand_coherence({"coherence": dial}):
                tuning.overrides.pop(name, None)
            tuning.overrides["coherence"] = dial
            self.ask(tuning)
            return self.all(tuning)

    def _on_keep(self, event: gr.EventData, request: gr.Request) -> None:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            slot = _data(event).get("slot")
            if slot in ("A", "B"):
                tuning.kept[slot] = tuning.preset, dict(tuning.overrides)

    def _on_use(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            kept = tuning.kept.get(str(_data(event).get("slot")))
            if kept is not None:
                tuning.preset, tuning.overrides = kept[0], dict(kept[1])
                self.ask(tuning)
            return self.all(tuning)

    def _on_painted(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            tuning.take({"mask": str(_data(event).get("name") or "")})
            self.ask(tuning)
            return self.all(tuning)

    def _on_sound(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """Take a sound that was added: the music of an animation; of a film it drives schedules only when chosen."""
        with self.pages.using(request.session_hash, self.kind) as tuning:
            if self.kind == "zoom":
                tuning.take({"audio": str(_data(event).get("name") or "")})
                self.ask(tuning)
            return self.all(tuning)

    def _on_motion(self, request: gr.Request) -> None:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            try:
                settings = tuning.settings()
            except DreamvidError as error:
                self.studio.dreams.tell(tuning.session, str(error), name="motion", stage="error")
                return
            source = self.studio.workspace.root / tuning.moment.source
            film = cache_key(source) if source.is_file() else ""
            text = json.dumps([str(tuning.moment), film, settings.model_dump(mode="json")])
            name = f"motion-{hashlib.sha256(text.encode()).hexdigest()[:20]}.mp4"
            output = str(self.studio.workspace.cache / name)
            moment, kind = tuning.moment, tuning.kind
            trim_cache(self.studio.workspace.cache)
            self.studio.dreams.ask(MotionRequest(tuning.session, 0, moment, settings, output, kind=kind))

    def _on_atlas(self, event: gr.EventData, request: gr.Request) -> None:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            data = _data(event)
            layer, count = str(data.get("layer")), data.get("count")
            if not isinstance(count, int) or not layer.replace(".", "").replace("_", "").isalnum():
                return
            if not tuning.is_newest("atlas", data.get("n")):
                return
            folder = self.studio.workspace.cache / f"{_atlas(tuning.shown())}-{layer}"
            channels = tuple(range(min(count, _MOST_CHANNELS)))
            request_ = AtlasRequest(tuning.session, 0, tuning.shown(), layer, channels, str(folder))
            self.studio.dreams.ask(request_)

    def _on_queue(self, others: list[str] | None, suffix: str, request: gr.Request) -> Any:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            try:
                settings = tuning.settings()
                if reason := self.studio.dreams.failure(tuning.session, tuning.number):
                    raise SettingsError(reason)  # the render would only find it later
                sources = [tuning.source, *(others or [])]
                for source in sources:
                    source_from_browser(source, self.studio.workspace, animation=self.kind == "zoom")
                for source in dict.fromkeys(sources):
                    self.studio.queue.add(self.kind, source, settings, preset=tuning.preset, suffix=suffix)
            except DreamvidError as error:
                self.studio.dreams.tell(tuning.session, str(error), stage="error")
                return gr.update()
            self.studio.runner.wake()
            self.studio.dreams.tell(tuning.session, f"{len(set(sources))} added to the queue.")
            return gr.update()

    def _on_save(self, name: str, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, self.kind) as tuning:
            workspace = self.studio.workspace
            try:
                path = workspace.unused(RECIPES, f"{name.strip() or 'preset'}.toml")
                write_recipe(Recipe(tuning.settings(), self.kind, {"output": path.stem}), path)
                tuning.choose(workspace.name(path))
            except (DreamvidError, OSError) as error:
                self.studio.dreams.tell(tuning.session, str(error), stage="error")
                return [gr.skip() for _ in (self.name, *self.everything)]
            self.studio.dreams.tell(tuning.session, f"Saved as {tuning.preset}.")
            return ["", *self.all(tuning)]

    def retune(self, name: object, tuning: Tuning) -> None:
        """Take the settings of a result, by its recipe. Raises DreamvidError."""
        workspace = self.studio.workspace
        path = workspace.file(name, RESULTS)
        recipe = path.with_name(f"{path.name}.toml")
        tuning.choose(preset_from_browser(workspace.name(recipe), workspace))
        try:
            origin = tomllib.loads(recipe.read_text(encoding="utf-8"))["provenance"]
            source, _, seconds = str(origin["source"]).partition("@")
            tuning.look_at(source, float(seconds or 0))
        except (OSError, ValueError, KeyError, TypeError, DreamvidError):
            pass  # its source is gone: the settings are here, for another one
        tuning.error = ""
        self.ask(tuning)
        self._ask_presets(tuning)

    # --- what is asked for and shown

    def ask(self, tuning: Tuning) -> None:
        """Ask for a preview of the present values; what is wrong with them becomes the page's error."""
        if not tuning.moment.source:
            return
        try:
            settings = tuning.settings()
        except DreamvidError as error:
            tuning.error = str(error)
            tuning.number = self.studio.dreams.number()
            return
        tuning.error = ""
        request = PreviewRequest(tuning.session, 0, tuning.moment, settings, tuning.kind)
        tuning.number = self.studio.dreams.ask(request)
        tuning.save()

    def _ask_presets(self, tuning: Tuning) -> None:
        if not tuning.moment.source:
            return
        found = []
        for card in self._cards():
            try:
                found.append((card["name"], Tuning(tuning.workspace, tuning.kind, "", card["name"]).base()))
            except DreamvidError:
                continue
        self.studio.dreams.ask(PresetsRequest(tuning.session, 0, tuning.moment, tuple(found)))

    def _ask_layers(self, tuning: Tuning) -> None:
        self.studio.dreams.ask(LayersRequest(tuning.session, 0, tuning.shown()))

    def _cards(self) -> list[dict[str, Any]]:
        """List the presets that are shown as pictures: those of the embedded network, and the user's own."""
        embedded = Settings().network
        shipped = [
            {"name": preset.name, "description": preset.description, "tags": preset.tags}
            for preset in list_presets(self.kind)
            if preset.tables.get("network", {}).get("model", embedded.model) == embedded.model
        ]
        own = []
        for path in self.studio.workspace.files(RECIPES, ".toml"):
            try:
                preset = find_preset(path)
            except DreamvidError:
                continue
            if preset.kind == self.kind:
                own.append(
                    {"name": self.studio.workspace.name(path), "description": preset.description, "tags": ("own",)}
                )
        return [*shipped, *own][:_MOST_PRESETS]

    def _names(self) -> list[str]:
        shipped = [preset.name for preset in list_presets(self.kind)]
        return [*shipped, *(card["name"] for card in self._cards() if "/" in card["name"])]

    def _videos(self, tuning: Tuning) -> list[str]:
        workspace = self.studio.workspace
        names = [workspace.name(path) for path in workspace.files(SOURCES, *VIDEO_SUFFIXES)]
        return [name for name in names if name != tuning.moment.source]

    def _stage(self, tuning: Tuning, *, fresh: bool = False) -> dict[str, Any]:
        return {
            "session": tuning.session,
            "kind": tuning.kind,
            "moment": {"source": tuning.moment.source, "seconds": tuning.moment.seconds},
            "preset": tuning.preset,
            "presets": self._cards(),
            "number": tuning.number,
            "error": tuning.error,
            "fresh": fresh,
        }

    def all(self, tuning: Tuning) -> list[Any]:
        """Return updates for everything on the tab; values that its knobs sent before are out of date from now on."""
        settings = tuning.shown()
        tuning.revision += 1
        objective = {
            "kind": self.kind,
            "field": f"dv-{self.kind}-objective",
            "atlas": _atlas(settings),
        }
        return [
            self._stage(tuning, fresh=True),
            tuning.code(),
            objective,
            gr.update(choices=self._names(), value=tuning.preset),
            gr.update(choices=self._videos(tuning)),
            tuning.revision,
            *(self._update(control, tuning, settings) for control in self.controls_in_order()),
        ]

    def controls_in_order(self) -> list[Control]:
        """List the controls in the order of their components."""
        by_name = {control.name: control for control in self.controls}
        return [by_name[name] for name in self.components]

    def _update(self, control: Control, tuning: Tuning, settings: Settings) -> Any:
        value = shown_value(settings, control)
        if control.name in tuning.schedules():
            text = tuning.schedules()[control.name]
            now = getattr(getattr(settings, control.group), control.name)
            return gr.update(value=now, interactive=False, info=f"It changes over time (tab Schedules): {text}")
        if control.form in ("number", "whole number"):
            if value is None:
                return gr.update(value=0.5, interactive=True, info=control.info)
            low, high = min(control.low or 0, value), max(control.high or 1, value)
            return gr.update(value=value, minimum=low, maximum=high, interactive=True, info=control.info)
        if control.name in _FILES:
            return gr.update(value=value, choices=self._offers(control))
        return gr.update(value=value)

    def _offers(self, control: Control) -> list[str]:
        """List the words and the files of the workspace that a setting takes; "" where it may be missing."""
        name = control.name
        suffixes = {
            "mask": (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES),
            "palette": IMAGE_SUFFIXES,
            "audio": (*SOUND_SUFFIXES, *VIDEO_SUFFIXES),
            "camera_path": (".txt", ".csv"),
        }.get(name, (".pth", ".safetensors", ".pb"))
        workspace = self.studio.workspace
        found = [workspace.name(path) for path in workspace.files(SOURCES, *suffixes)]
        words = {"palette": PALETTES}
        if self.kind == "run":  # an animation has neither a sound of its own nor footage with a subject
            words |= {"audio": (OWN_SOUND,), "mask": tuple(MATTES)}
        return [*([""] if control.default is None else []), *words.get(name, ()), *found]


def _data(event: gr.EventData) -> dict[str, Any]:
    """Return what a part sent; nothing of it is trusted."""
    data = event._data
    return data if isinstance(data, dict) else {}


def _atlas(settings: Settings) -> str:
    """Name the folder of the channels' images of a network."""
    text = f"{settings.network.model} {settings.network.weights}"
    return f"atlas-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
