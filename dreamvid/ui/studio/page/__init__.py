"""The studio's page: Gradio's controls, made from the settings model, and components of our own for what moves."""
