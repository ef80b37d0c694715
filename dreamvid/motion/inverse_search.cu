// Dense inverse search at one scale, and its refinement, as kernels: what `fine_search` of inverse_search.py does in some
// thousand operations of PyTorch. The comments there and in variational.py explain the steps; the constants come from
// there (PATCH, STRIDE, STEPS, DAMPING, ALPHA, DELTA, GAMMA, ZETA, EPSILON, RELAXATION).
//
// Images and flows are contiguous: (N, 1, h, w) and (N, 2, h, w). blockIdx.y counts the images of the batch; a thread is
// a patch or a pixel. Outside of an image its border goes on. A thread adds up in one order, and none writes what another
// one reads in the same kernel, so results have the same bits each time.

constexpr int AREA = PATCH * PATCH;

// What a flow of a patch gives: the step that is tried next, and the error of the flow.
struct State {
    float flow_x, flow_y, step_x, step_y, error;
};

__device__ int item() { return blockIdx.x * blockDim.x + threadIdx.x; }

__device__ int within(int position, int size) { return min(max(position, 0), size - 1); }

__device__ float pixel(const float* image, int y, int x, int height, int width) {
    return image[within(y, height) * width + within(x, width)];
}

__device__ float blend(float from, float to, float part) { return from + part * (to - from); }

__device__ float sample(const float* image, float y, float x, int height, int width) {
    x = fminf(fmaxf(x, 0.0f), width - 1.0f);
    y = fminf(fmaxf(y, 0.0f), height - 1.0f);
    const int left = (int)x, top = (int)y;
    const float right = x - left, below = y - top;
    return blend(blend(pixel(image, top, left, height, width), pixel(image, top, left + 1, height, width), right),
                 blend(pixel(image, top + 1, left, height, width), pixel(image, top + 1, left + 1, height, width), right),
                 below);
}

// --- patches: P of them in rows of `columns`; `content` (N, 3, AREA, P) holds their pixels and gradients, `systems`
// --- (N, 5, P) the inverse of their 2 x 2 system and their mean gradient, `states` (N, 5, P) their State.

struct Patches {
    const float* previous;
    const float* content;
    const float* systems;
    int height, width, columns, count, patch;
};

__device__ Patches patches_of(const float* previous, const float* content, const float* systems, int height, int width,
                              int columns, int count) {
    const int image = blockIdx.y;
    return {previous + image * height * width, content + image * 3 * AREA * count, systems + image * 5 * count,
            height, width, columns, count, item()};
}

__device__ State look(const Patches& of, float flow_x, float flow_y) {
    // The flow moves a whole patch, so its pixels lie between those of the other image by the same parts.
    const float limit = 1e6f;
    const float x = of.patch % of.columns * STRIDE + fminf(fmaxf(flow_x, -limit), limit);
    const float y = of.patch / of.columns * STRIDE + fminf(fmaxf(flow_y, -limit), limit);
    const int left = (int)floorf(x), top = (int)floorf(y);
    const float right = x - left, below = y - top;
    float sum = 0, squares = 0, along_x = 0, along_y = 0;
    float line[PATCH];
    for (int row = 0; row <= PATCH; ++row) {
        const float* pixels = of.previous + within(top + row, of.height) * of.width;
        float before = pixels[within(left, of.width)];
#pragma unroll
        for (int column = 0; column < PATCH; ++column) {
            const float after = pixels[within(left + column + 1, of.width)];
            const float here = blend(before, after, right);
            if (row > 0) {
                const float* own = of.content + ((row - 1) * PATCH + column) * of.count + of.patch;
                const float difference = blend(line[column], here, below) - own[0];
                sum += difference;
                squares += difference * difference;
                along_x += difference * own[AREA * of.count];
                along_y += difference * own[2 * AREA * of.count];
            }
            line[column] = here;
            before = after;
        }
    }
    const float* system = of.systems + of.patch;
    along_x -= sum * system[3 * of.count];
    along_y -= sum * system[4 * of.count];
    const float xx = system[0], xy = system[of.count], yy = system[2 * of.count];
    return {flow_x, flow_y, -(xx * along_x + xy * along_y), -(xy * along_x + yy * along_y),
            squares - sum * sum / AREA};
}

__device__ State load(const float* states, int patch, int count) {
    const float* state = states + blockIdx.y * 5 * count + patch;
    return {state[0], state[count], state[2 * count], state[3 * count], state[4 * count]};
}

__device__ void store(float* states, int patch, int count, const State& value) {
    float* state = states + blockIdx.y * 5 * count + patch;
    state[0] = value.flow_x;
    state[count] = value.flow_y;
    state[2 * count] = value.step_x;
    state[3 * count] = value.step_y;
    state[4 * count] = value.error;
}

// Fill `content` and `systems`, and start from the flow at the patches' centers.
extern "C" __global__ void cut_patches(const float* images, const float* previous, const float* flows, float* content,
                                       float* systems, float* states, int height, int width, int columns, int count) {
    const int patch = item(), image = blockIdx.y;
    if (patch >= count) return;
    const float* now = images + image * height * width;
    const int top = patch / columns * STRIDE, left = patch % columns * STRIDE;
    float* own = content + image * 3 * AREA * count + patch;
    float mean_x = 0, mean_y = 0;
    for (int each = 0; each < AREA; ++each) {
        const int y = top + each / PATCH, x = left + each % PATCH;
        float around[3][3];
#pragma unroll
        for (int row = 0; row < 3; ++row)
#pragma unroll
            for (int column = 0; column < 3; ++column)
                around[row][column] = pixel(now, y + row - 1, x + column - 1, height, width);
        float across = 0, down = 0;  // differences, smoothed along the other axis (Scharr's)
#pragma unroll
        for (int at = 0; at < 3; ++at) {
            const float part = at == 1 ? 10 : 3;
            across += part * (around[at][2] - around[at][0]) / 32;
            down += part * (around[2][at] - around[0][at]) / 32;
        }
        own[each * count] = around[1][1];
        own[(AREA + each) * count] = across;
        own[(2 * AREA + each) * count] = down;
        mean_x += across;
        mean_y += down;
    }
    mean_x /= AREA;
    mean_y /= AREA;
    float xx = DAMPING, xy = 0, yy = DAMPING;
    for (int each = 0; each < AREA; ++each) {
        const float across = own[(AREA + each) * count] - mean_x, down = own[(2 * AREA + each) * count] - mean_y;
        xx += across * across;
        xy += across * down;
        yy += down * down;
    }
    const float scale = 1 / (xx * yy - xy * xy);
    float* system = systems + image * 5 * count + patch;
    system[0] = yy * scale;
    system[count] = -xy * scale;
    system[2 * count] = xx * scale;
    system[3 * count] = mean_x;
    system[4 * count] = mean_y;
    const float* flow = flows + image * 2 * height * width;
    const int y = top + PATCH / 2, x = left + PATCH / 2;
    const float flow_x = pixel(flow, y, x, height, width), flow_y = pixel(flow + height * width, y, x, height, width);
    store(states, patch, count,
          look(patches_of(previous, content, systems, height, width, columns, count), flow_x, flow_y));
}

// Take a neighbor's flow where it is better, of the four at a distance of `reach` patches; then descend by some steps.
extern "C" __global__ void search_around(const float* previous, const float* content, const float* systems,
                                         const float* states, float* result, int height, int width, int columns,
                                         int count, int reach, int steps) {
    const Patches of = patches_of(previous, content, systems, height, width, columns, count);
    const int patch = of.patch;
    if (patch >= count) return;
    State best = load(states, patch, count);
    const int row = patch / columns, column = patch % columns, rows = count / columns;
    for (int side = 0; side < 4; ++side) {
        const int across = side == 0 ? -reach : side == 1 ? reach : 0, down = side == 2 ? -reach : side == 3 ? reach : 0;
        const int neighbor = within(row + down, rows) * columns + within(column + across, columns);
        const float* flow = states + blockIdx.y * 5 * count + neighbor;
        const State theirs = look(of, flow[0], flow[count]);
        if (theirs.error < best.error) best = theirs;
    }
    for (int step = 0; step < steps; ++step) {
        const State moved = look(of, best.flow_x + best.step_x, best.flow_y + best.step_y);
        if (moved.error < best.error) {
            best = moved;
        } else {
            best.step_x /= 2;
            best.step_y /= 2;
        }
    }
    store(result, patch, count, best);
}

// Average the flows of the patches that cover a pixel, weighted by how well they explain it.
extern "C" __global__ void average_patches(const float* images, const float* previous, const float* states, float* flows,
                                           int height, int width, int columns, int count) {
    const int place = item(), image = blockIdx.y, size = height * width;
    if (place >= size) return;
    const int y = place / width, x = place % width, rows = count / columns;
    const float* before = previous + image * size;
    const float value = images[image * size + place];
    const float* state = states + image * 5 * count;
    float total = 0, flow_x = 0, flow_y = 0;
    for (int row = max(0, (y - PATCH + STRIDE) / STRIDE); row <= min(rows - 1, y / STRIDE); ++row)
        for (int column = max(0, (x - PATCH + STRIDE) / STRIDE); column <= min(columns - 1, x / STRIDE); ++column) {
            const float* own = state + row * columns + column;
            const float difference = sample(before, y + own[count], x + own[0], height, width) - value;
            const float weight = 1 / fmaxf(fabsf(difference), 1.0f);
            total += weight;
            flow_x += weight * own[0];
            flow_y += weight * own[count];
        }
    flows[image * 2 * size + place] = flow_x / total;
    flows[(image * 2 + 1) * size + place] = flow_y / total;
}

// --- refinement; `added` (N, 2, h, w) is what it adds to the flow

// The mean of this image and the other one, moved by the flow, and their difference: (N, 1, h, w) each.
extern "C" __global__ void compare(const float* images, const float* previous, const float* flows, float* mean,
                                   float* change, int height, int width) {
    const int place = item(), image = blockIdx.y, size = height * width;
    if (place >= size) return;
    const float* flow = flows + image * 2 * size + place;
    const float y = place / width + flow[size], x = place % width + flow[0];
    const float now = images[image * size + place], moved = sample(previous + image * size, y, x, height, width);
    mean[image * size + place] = (now + moved) / 2;
    change[image * size + place] = moved - now;
}

// The weight of smoothness between a pixel and its right and lower neighbors: (N, 1, h, w).
extern "C" __global__ void weigh_smoothness(const float* flows, const float* added, float* weights, int height,
                                            int width) {
    const int place = item(), image = blockIdx.y, size = height * width;
    if (place >= size) return;
    const int y = place / width, x = place % width;
    float squared = EPSILON * EPSILON;
    for (int axis = 0; axis < 2; ++axis) {
        const float* flow = flows + (image * 2 + axis) * size + place;
        const float* more = added + (image * 2 + axis) * size + place;
        const float here = flow[0] + more[0];
        const float across = x + 1 < width ? flow[1] + more[1] - here : 0;
        const float down = y + 1 < height ? flow[width] + more[width] - here : 0;
        squared += across * across + down * down;
    }
    weights[image * size + place] = ALPHA / 2 / sqrtf(squared);
}

struct Neighbors {
    float left, right, above, below;
};

__device__ Neighbors neighbors_of(const float* weight, int y, int x, int height, int width) {
    return {x > 0 ? weight[-1] : 0, x + 1 < width ? weight[0] : 0, y > 0 ? weight[-width] : 0,
            y + 1 < height ? weight[0] : 0};
}

// The sum of a pixel's four neighbors, each weighted; those outside of the image weigh nothing and are not read.
__device__ float pulled(const float* values, const Neighbors& of, int y, int x, int height, int width) {
    float sum = 0;
    if (x > 0) sum += of.left * values[-1];
    if (x + 1 < width) sum += of.right * values[1];
    if (y > 0) sum += of.above * values[-width];
    if (y + 1 < height) sum += of.below * values[width];
    return sum;
}

__device__ float across(const float* image, int y, int x, int height, int width) {
    return pixel(image, y, x + 1, height, width) - pixel(image, y, x - 1, height, width);
}

__device__ float down(const float* image, int y, int x, int height, int width) {
    return pixel(image, y + 1, x, height, width) - pixel(image, y - 1, x, height, width);
}

// A quantity with derivatives x and y that changes by z.
struct Constancy {
    float x, y, z, norm;

    __device__ Constancy(float x, float y, float z) : x(x), y(y), z(z), norm(x * x + y * y + ZETA * ZETA) {}

    __device__ float error(float added_x, float added_y) const {
        const float left = x * added_x + y * added_y + z;
        return left * left / norm;
    }
};

// Linearize around `added`: `systems` (N, 5, h, w) are the inverse of each pixel's 2 x 2 system (xx, xy, yy) and its
// right-hand side without the pull of its neighbors.
extern "C" __global__ void linearize(const float* means, const float* changes, const float* flows, const float* added,
                                     const float* weights, float* systems, int height, int width) {
    const int place = item(), image = blockIdx.y, size = height * width;
    if (place >= size) return;
    const int y = place / width, x = place % width, h = height, w = width;
    const float* mean = means + image * size;
    const float* change = changes + image * size;
    const int left = within(x - 1, w), right = within(x + 1, w), top = within(y - 1, h), bottom = within(y + 1, h);
    const Constancy brightness(across(mean, y, x, h, w), down(mean, y, x, h, w), change[place]);
    const float xy = across(mean, bottom, x, h, w) - across(mean, top, x, h, w);
    const Constancy along_x(across(mean, y, right, h, w) - across(mean, y, left, h, w), xy, across(change, y, x, h, w));
    const Constancy along_y(xy, down(mean, bottom, x, h, w) - down(mean, top, x, h, w), down(change, y, x, h, w));
    const float* more = added + image * 2 * size + place;
    const float more_x = more[0], more_y = more[size];
    const float weight = DELTA / 2 / sqrtf(brightness.error(more_x, more_y) + EPSILON * EPSILON);
    const float steep =
        GAMMA / 2 / sqrtf(along_x.error(more_x, more_y) + along_y.error(more_x, more_y) + EPSILON * EPSILON);
    float a11 = ZETA * ZETA, a12 = 0, a22 = ZETA * ZETA, b1 = 0, b2 = 0;
    const Constancy* each[3] = {&brightness, &along_x, &along_y};
#pragma unroll
    for (int term = 0; term < 3; ++term) {
        const Constancy& of = *each[term];
        const float part = (term ? steep : weight) / of.norm;
        a11 += part * of.x * of.x;
        a12 += part * of.x * of.y;
        a22 += part * of.y * of.y;
        b1 -= part * of.x * of.z;
        b2 -= part * of.y * of.z;
    }
    const Neighbors around = neighbors_of(weights + image * size + place, y, x, h, w);
    const float pull = around.left + around.right + around.above + around.below;
    a11 += pull;
    a22 += pull;
    const float* flow = flows + image * 2 * size + place;
    const float scale = 1 / (a11 * a22 - a12 * a12);
    float* system = systems + image * 5 * size + place;
    system[0] = a22 * scale;
    system[size] = -a12 * scale;
    system[2 * size] = a11 * scale;
    system[3 * size] = b1 + pulled(flow, around, y, x, h, w) - pull * flow[0];
    system[4 * size] = b2 + pulled(flow + size, around, y, x, h, w) - pull * flow[size];
}

// Half a sweep: solve for the pixels of one color of the checkerboard, whose neighbors have the other one.
extern "C" __global__ void sweep(const float* systems, const float* weights, float* added, int height, int width,
                                 int odd) {
    const int place = item(), image = blockIdx.y, size = height * width;
    if (place >= size) return;
    const int y = place / width, x = place % width;
    if ((y + x) % 2 != odd) return;
    const Neighbors around = neighbors_of(weights + image * size + place, y, x, height, width);
    float* more = added + image * 2 * size + place;
    const float* system = systems + image * 5 * size + place;
    const float wanted_x = system[3 * size] + pulled(more, around, y, x, height, width);
    const float wanted_y = system[4 * size] + pulled(more + size, around, y, x, height, width);
    const float xx = system[0], xy = system[size], yy = system[2 * size];
    more[0] = blend(more[0], xx * wanted_x + xy * wanted_y, RELAXATION);
    more[size] = blend(more[size], xy * wanted_x + yy * wanted_y, RELAXATION);
}
