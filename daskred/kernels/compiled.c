/* The innermost loops over pixels, compiled: what numpy does row by row, done lane by lane.
 *
 * Each function has a twin in numpy, in the module that calls it, and returns the same bits; it
 * holds no lock while it works, and takes arrays through the buffer protocol. A lane is a few
 * neighbouring pixels: their values in all frames stay in the fastest cache, and the compiler turns
 * a loop over them into a few vector instructions. Floats are sorted as integers of their order.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Loops are made for several widths of vectors, one of which is chosen when they are loaded. */
#if !defined(WIDE) && defined(__x86_64__) && defined(__linux__) && __GNUC__ >= 12
#define WIDE __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#elif !defined(WIDE)
#define WIDE
#endif
#ifdef _MSC_VER
#define INLINE static __forceinline
#define restrict __restrict
#else
#define INLINE static inline __attribute__((always_inline))
#endif

typedef struct { uint16_t first, second, keeps; } Comparator;
enum { BOTH, SMALLER, LARGER };

/* ---- arrays ---------------------------------------------------------------------------------- */

typedef struct {
    Py_buffer view;
    char *data;
    Py_ssize_t rows, columns, stride; /* of rows, bytes */
    char type;
} Array;

/* Take an array of one or two axes whose rows are contiguous, and whose type is one of `types`. */
static int take(PyObject *object, Array *array, const char *types, int writable) {
    Py_buffer *view = &array->view;
    if (PyObject_GetBuffer(object, view, writable ? PyBUF_RECORDS : PyBUF_RECORDS_RO)) return 0;
    const char *format = view->format ? view->format : "B";
    const int n = view->ndim;
    if (n < 1 || n > 2 || (view->shape[n - 1] > 1 && view->strides[n - 1] != view->itemsize)
        || format[1] || !strchr(types, format[0])) {
        PyErr_Format(PyExc_TypeError, "an array with contiguous rows of %s is wanted", types);
        PyBuffer_Release(view);
        return 0;
    }
    array->data = view->buf, array->type = format[0];
    array->rows = n == 2 ? view->shape[0] : 1, array->columns = view->shape[n - 1];
    array->stride = n == 2 ? view->strides[0] : 0;
    return 1;
}

#define ROW(array, number) ((array)->data + (number) * (array)->stride)

/* ---- sorting and selecting ------------------------------------------------------------------- */

#define LANE 32
#define EACH for (int k = 0; k < LANE; k++)

/* Floats as integers of the same order, and back. */
#define ORDERED(TO, FROM, FLOAT, KEY, BITS)                                                        \
    INLINE KEY TO(FLOAT value) {                                                                   \
        KEY key;                                                                                   \
        memcpy(&key, &value, sizeof key);                                                          \
        return key ^ ((key >> (BITS - 1)) & INT##BITS##_MAX);                                      \
    }                                                                                              \
    INLINE FLOAT FROM(KEY key) {                                                                   \
        FLOAT value;                                                                               \
        key ^= (key >> (BITS - 1)) & INT##BITS##_MAX;                                              \
        memcpy(&value, &key, sizeof key);                                                          \
        return value;                                                                              \
    }
ORDERED(ordered_float, float_of, float, int32_t, 32)
ORDERED(ordered_double, double_of, double, int64_t, 64)
#define same_key(value) (value)

/* Put rows of lanes in order; the comparators are those of a network. */
#define SORTING(NAME, KEY)                                                                         \
    INLINE void NAME(KEY (*lanes)[LANE], const Comparator *steps, Py_ssize_t n_steps) {            \
        for (Py_ssize_t step = 0; step < n_steps; step++) {                                        \
            KEY *restrict first = lanes[steps[step].first];                                        \
            KEY *restrict second = lanes[steps[step].second];                                      \
            KEY smaller[LANE], larger[LANE];                                                       \
            EACH {                                                                                 \
                smaller[k] = first[k] < second[k] ? first[k] : second[k];                          \
                larger[k] = first[k] < second[k] ? second[k] : first[k];                           \
            }                                                                                      \
            if (steps[step].keeps != LARGER) memcpy(first, smaller, sizeof smaller);               \
            if (steps[step].keeps != SMALLER) memcpy(second, larger, sizeof larger);               \
        }                                                                                          \
    }
SORTING(sort_u2, uint16_t)
SORTING(sort_i2, int16_t)
SORTING(sort_i4, int32_t)
SORTING(sort_i8, int64_t)

/* Take lanes of all rows of a stack as keys; tell which have a NaN. */
#define LOADING(NAME, TYPE, KEY, KEY_OF)                                                           \
    INLINE void NAME(const Array *stack, Py_ssize_t start, int width, KEY(*lanes)[LANE],           \
                     KEY *unknown) {                                                               \
        for (Py_ssize_t row = 0; row < stack->rows; row++) {                                       \
            TYPE values[LANE] = {0};                                                               \
            const TYPE *from = (const TYPE *)ROW(stack, row) + start;                              \
            if (width == LANE) memcpy(values, from, sizeof values);                                \
            else memcpy(values, from, width * sizeof(TYPE));                                       \
            EACH {                                                                                 \
                unknown[k] |= values[k] != values[k];                                              \
                lanes[row][k] = KEY_OF(values[k]);                                                 \
            }                                                                                      \
        }                                                                                          \
    }
LOADING(load_u2, uint16_t, uint16_t, same_key)
LOADING(load_i2, int16_t, int16_t, same_key)
LOADING(load_f4, float, int32_t, ordered_float)
LOADING(load_f8, double, int64_t, ordered_double)

#define WIDTH(stack, start) (int)((stack)->columns - start < LANE ? (stack)->columns - start : LANE)

/* Medians of the columns of a stack; NaN where a column has a NaN. */
#define MEDIAN(NAME, KEY, LOAD, SORT, VALUE_OF)                                                    \
    WIDE static void NAME(const Array *stack, const Comparator *steps, Py_ssize_t n_steps,         \
                          void *memory, double *out) {                                             \
        KEY(*lanes)[LANE] = memory;                                                                \
        Py_ssize_t low = (stack->rows - 1) / 2, high = stack->rows / 2;                            \
        for (Py_ssize_t start = 0; start < stack->columns; start += LANE) {                        \
            KEY unknown[LANE] = {0};                                                               \
            int width = WIDTH(stack, start);                                                       \
            LOAD(stack, start, width, lanes, unknown);                                             \
            SORT(lanes, steps, n_steps);                                                           \
            for (int k = 0; k < width; k++) {                                                      \
                double lower = VALUE_OF(lanes[low][k]), upper = VALUE_OF(lanes[high][k]);          \
                double middle = low == high ? lower : (lower + upper) / 2;                         \
                out[start + k] = unknown[k] ? NAN : middle + 0.0; /* no zero has a sign */         \
            }                                                                                      \
        }                                                                                          \
    }
MEDIAN(median_u2, uint16_t, load_u2, sort_u2, same_key)
MEDIAN(median_i2, int16_t, load_i2, sort_i2, same_key)
MEDIAN(median_f4, int32_t, load_f4, sort_i4, float_of)
MEDIAN(median_f8, int64_t, load_f8, sort_i8, double_of)

/* What is done with arrays, and memory for lanes, while nobody holds the interpreter's lock. */
typedef void Job(Array *arrays, void *memory, void *terms);

static int is_wrong(const Array *arrays, int n, size_t lane_bytes) {
    int wrong = 0;
    for (int k = lane_bytes ? 2 : 1; k < n; k++) wrong |= arrays[k].columns != arrays[0].columns;
    if (!lane_bytes) return wrong;
    const Comparator *steps = (const Comparator *)arrays[1].data;
    for (Py_ssize_t step = 0; step < arrays[1].columns / 3; step++)
        wrong |= steps[step].first >= arrays[0].rows || steps[step].second >= arrays[0].rows;
    return wrong || !arrays[0].rows;
}

/* Take the first n arguments, those from `written` on to be written to, and do the job. Of stacks,
 * whose rows have lanes of so many bytes a pixel, the second argument is the network. */
static int perform(PyObject *args, int n, int written, const char *const *types, size_t lane_bytes,
                   Job *job, void *terms) {
    Array arrays[7];
    void *memory = NULL;
    int taken = 0, done = 0;
    for (; taken < n; taken++) {
        PyObject *object = PyTuple_GetItem(args, taken);
        if (!object || !take(object, &arrays[taken], types[taken], taken >= written)) goto end;
    }
    if (is_wrong(arrays, n, lane_bytes)) {
        PyErr_SetString(PyExc_ValueError, "these arrays do not fit together");
    } else if (!(memory = malloc(1 + (size_t)arrays[0].rows * LANE * lane_bytes))) {
        PyErr_NoMemory();
    } else {
        Py_BEGIN_ALLOW_THREADS
        job(arrays, memory, terms);
        Py_END_ALLOW_THREADS
        done = 1;
    }
end:
    while (taken) PyBuffer_Release(&arrays[--taken].view);
    free(memory);
    return done;
}

static void median_job(Array *arrays, void *memory, void *terms) {
    const Comparator *steps = (const Comparator *)arrays[1].data;
    Py_ssize_t n_steps = arrays[1].columns / 3;
    double *out = (double *)arrays[2].data;
    char type = arrays[0].type;
    (type == 'H' ? median_u2 : type == 'h' ? median_i2 : type == 'f' ? median_f4 : median_f8)(
        arrays, steps, n_steps, memory, out);
}

static PyObject *median(PyObject *self, PyObject *args) {
    static const char *const types[] = {"Hhfd", "H", "d"};
    return perform(args, 3, 2, types, 8, median_job, NULL) ? Py_BuildValue("") : NULL;
}

/* ---- rejection ------------------------------------------------------------------------------- */

enum { NONE, MINMAX, PERCENTILE, SIGMA, NOISE, WINSORIZED };
enum { MEDIAN, MEAN, LOWER_MEDIAN, SUM };

typedef struct {
    int rejection, method, rounds, mean_centre, std_scale;
    double low, high, floor, slope, zero;
} Rule;

/* Sorted values of a lane of pixels, infinite behind the last; those from low to high stay. */
typedef struct {
    double (*values)[LANE];
    int64_t n, n_good[LANE], low[LANE], high[LANE];
    double origin[LANE];
} Column;

#define SIGMA_OF_MAD 1.482602218505602
#define N(c, k) ((c)->high[k] - (c)->low[k] > 1 ? (c)->high[k] - (c)->low[k] : 1)
#define STAYS(c, rank, k) ((rank >= (c)->low[k]) & (rank < (c)->high[k]))

INLINE double at(const Column *c, int64_t rank, int k) {
    return c->values[rank < c->n ? rank : c->n - 1][k];
}

INLINE double middle_of(const Column *c, int k) {
    return (at(c, c->low[k] + (N(c, k) - 1) / 2, k) + at(c, c->low[k] + N(c, k) / 2, k)) / 2;
}

/* Sums of differences from the origin, which do not cancel, and of their squares; values beyond
 * bounds, if there are any, count as these. */
INLINE void sums_of(const Column *c, const double *bottom, const double *top, double *first,
                    double *second) {
    EACH first[k] = second[k] = 0;
    for (int64_t rank = 0; rank < c->n; rank++)
        EACH {
            double value = c->values[rank][k];
            if (bottom) value = value < bottom[k] ? bottom[k] : value;
            if (top) value = value > top[k] ? top[k] : value;
            double step = STAYS(c, rank, k) ? value - c->origin[k] : 0.0;
            first[k] += step;
            second[k] += step * step;
        }
}

INLINE double positive(double value) { return value > 0 || value != value ? value : 0.0; }
INLINE void moments_of(const Column *c, double *mean, double *deviation) {
    double first[LANE], second[LANE];
    sums_of(c, NULL, NULL, first, second);
    EACH {
        double part = first[k] / (double)N(c, k);
        mean[k] = c->origin[k] + part;
        deviation[k] = sqrt(positive(second[k] / (double)N(c, k) - part * part));
    }
}

/* The deviation of a rank is that of the narrowest run of so many values and one. */
INLINE double deviation_of(const Column *c, double centre, int64_t rank, int k) {
    double least = INFINITY;
    for (int64_t first = c->low[k]; first + rank < c->high[k]; first++) {
        double below = centre - c->values[first][k], above = c->values[first + rank][k] - centre;
        double widest = below > above ? below : above;
        least = widest < least ? widest : least;
    }
    return least;
}

INLINE void deviations_of_all(const Column *c, const double *centre, int64_t rank, double *least) {
    EACH least[k] = INFINITY;
    for (int64_t first = 0; first + rank < c->n; first++) {
        const double *bottom = c->values[first], *top = c->values[first + rank];
        EACH {
            double below = centre[k] - bottom[k], above = top[k] - centre[k];
            double widest = below > above ? below : above;
            least[k] = widest < least[k] ? widest : least[k];
        }
    }
}

INLINE void mads_of(const Column *c, const double *centre, const int64_t *active, double *mad) {
    int whole = 1;
    EACH whole &= c->low[k] == 0 && c->high[k] == c->n;
    if (whole) {
        double lower[LANE], upper[LANE];
        deviations_of_all(c, centre, (c->n - 1) / 2, lower);
        deviations_of_all(c, centre, c->n / 2, upper);
        EACH mad[k] = SIGMA_OF_MAD * (lower[k] + upper[k]) / 2;
        return;
    }
    EACH {
        if (!active[k]) continue;
        int64_t n = c->high[k] - c->low[k];
        double lower = deviation_of(c, centre[k], (n - 1) / 2, k);
        double upper = n % 2 ? lower : deviation_of(c, centre[k], n / 2, k);
        mad[k] = SIGMA_OF_MAD * (lower + upper) / 2;
    }
}

/* The deviation of values that are drawn in to 1.5 of it, until it stays. */
INLINE void winsorized_of(const Column *c, const double *centre, double *scale) {
    double mean[LANE], wider[LANE];
    int64_t settled[LANE] = {0};
    moments_of(c, mean, scale);
    EACH scale[k] *= wider[k] = sqrt((double)N(c, k) / (double)(N(c, k) > 1 ? N(c, k) - 1 : 1));
    for (int round = 0, unsettled = 1; unsettled && round < 10; round++) {
        double first[LANE], second[LANE], bottom[LANE], top[LANE];
        EACH bottom[k] = centre[k] - 1.5 * scale[k], top[k] = centre[k] + 1.5 * scale[k];
        sums_of(c, bottom, top, first, second);
        unsettled = 0;
        EACH {
            double part = first[k] / (double)N(c, k);
            double now = 1.134 * wider[k] * sqrt(positive(second[k] / (double)N(c, k) - part * part));
            int64_t moves = fabs(now - scale[k]) > 5e-4 * scale[k];
            scale[k] = settled[k] ? scale[k] : now;
            settled[k] |= !moves;
            unsettled |= !settled[k];
        }
    }
}

INLINE void bounds_of(const Column *c, const Rule *rule, const int64_t *active, double *bottom,
                      double *top) {
    double centre[LANE], mean[LANE], scale[LANE] = {0};
    EACH centre[k] = active[k] ? middle_of(c, k) : 0;
    if (rule->rejection == NOISE) {
        EACH scale[k] = sqrt(rule->floor + rule->slope * positive(centre[k] - rule->zero));
    } else if (rule->rejection == WINSORIZED) {
        winsorized_of(c, centre, scale);
    } else if (rule->rejection == PERCENTILE) {
        EACH scale[k] = fabs(centre[k]);
    } else { /* SIGMA */
        if (rule->mean_centre || rule->std_scale) moments_of(c, mean, scale);
        if (!rule->std_scale) mads_of(c, centre, active, scale);
        if (rule->mean_centre) memcpy(centre, mean, sizeof centre);
    }
    EACH {
        bottom[k] = centre[k] - rule->low * scale[k];
        top[k] = centre[k] + rule->high * scale[k];
    }
}

/* Draw the values that stay in to bounds, until nothing changes; some always stay. */
INLINE void clip(Column *c, const Rule *rule) {
    int64_t active[LANE];
    EACH active[k] = c->n_good[k] > 0;
    int rounds = rule->rejection == PERCENTILE ? 1 : rule->rounds;
    for (int round = 0, changes = 1; changes && round < rounds; round++) {
        double bottom[LANE], top[LANE];
        bounds_of(c, rule, active, bottom, top);
        changes = 0;
        EACH {
            int64_t low = c->low[k], high = c->high[k];
            if (!active[k]) continue;
            while (low < high && c->values[low][k] < bottom[k]) low++;
            while (high > low && !(c->values[high - 1][k] <= top[k])) high--;
            active[k] = high > low && (low != c->low[k] || high != c->high[k]);
            if (!active[k]) continue;
            c->low[k] = low, c->high[k] = high, changes = 1;
        }
    }
}

INLINE void drop_extremes(Column *c, const Rule *rule) {
    EACH {
        double part = (double)c->n_good[k] / (double)c->n;
        int64_t lowest = (int64_t)floor(rule->low * part + 1e-3);
        int64_t highest = (int64_t)floor(rule->high * part + 1e-3);
        if (lowest + highest >= c->n_good[k]) continue;
        c->low[k] = lowest;
        c->high[k] = c->n_good[k] - highest;
    }
}

typedef struct { double *value, *bottom, *top; uint16_t *n_used, *n_rejected; } Combined;

INLINE void combine_lane(Column *c, const Rule *rule, const Combined *out, int width) {
    double first[LANE], second[LANE];
    EACH c->n_good[k] = 0;
    for (int64_t rank = 0; rank < c->n; rank++) EACH c->n_good[k] += c->values[rank][k] < INFINITY;
    EACH {
        c->low[k] = 0;
        c->high[k] = c->n_good[k];
        c->origin[k] = c->n_good[k] ? c->values[(c->n_good[k] - 1) / 2][k] : 0;
    }
    if (rule->rejection == MINMAX) drop_extremes(c, rule);
    else if (rule->rejection != NONE) clip(c, rule);
    int sums = rule->method == MEAN || rule->method == SUM;
    if (sums) sums_of(c, NULL, NULL, first, second);
    for (int k = 0; k < width; k++) {
        int64_t n = c->high[k] - c->low[k];
        double value = NAN;
        if (n > 0 && rule->method == MEDIAN) value = middle_of(c, k);
        if (n > 0 && rule->method == LOWER_MEDIAN) value = at(c, c->low[k] + (n - 1) / 2, k);
        if (n > 0 && sums) value = c->origin[k] + first[k] / (double)n;
        if (n > 0 && rule->method == SUM) value *= (double)n;
        out->value[k] = value;
        out->bottom[k] = at(c, c->low[k], k);
        out->top[k] = at(c, c->high[k] > 1 ? c->high[k] - 1 : 0, k);
        out->n_used[k] = (uint16_t)n;
        out->n_rejected[k] = (uint16_t)(c->n_good[k] - n);
    }
}

#define COMBINE(NAME, KEY, LOAD, SORT, VALUE_OF)                                                   \
    WIDE static void NAME(const Array *stack, const Comparator *steps, Py_ssize_t n_steps,         \
                          const Rule *rule, void *memory, Combined out) {                          \
        Column column = {memory, stack->rows, {0}, {0}, {0}, {0}};                                 \
        KEY(*lanes)[LANE] = (void *)(column.values + stack->rows);                                 \
        for (Py_ssize_t start = 0; start < stack->columns; start += LANE) {                        \
            KEY unknown[LANE] = {0};                                                                   \
            int width = WIDTH(stack, start);                                                       \
            LOAD(stack, start, width, lanes, unknown);                                             \
            SORT(lanes, steps, n_steps);                                                           \
            for (Py_ssize_t row = 0; row < stack->rows; row++)                                     \
                EACH column.values[row][k] = VALUE_OF(lanes[row][k]);                              \
            combine_lane(&column, rule, &out, width);                                              \
            out.value += LANE, out.bottom += LANE, out.top += LANE;                                \
            out.n_used += LANE, out.n_rejected += LANE;                                            \
        }                                                                                          \
    }
COMBINE(combine_f4, int32_t, load_f4, sort_i4, float_of)
COMBINE(combine_f8, int64_t, load_f8, sort_i8, double_of)

static void combine_job(Array *arrays, void *memory, void *rule) {
    const Comparator *steps = (const Comparator *)arrays[1].data;
    Py_ssize_t n_steps = arrays[1].columns / 3;
    Combined out = {(void *)arrays[2].data, (void *)arrays[3].data, (void *)arrays[4].data,
                    (void *)arrays[5].data, (void *)arrays[6].data};
    (arrays[0].type == 'f' ? combine_f4 : combine_f8)(arrays, steps, n_steps, rule, memory, out);
}

static PyObject *combine(PyObject *self, PyObject *args) {
    static const char *const types[] = {"fd", "H", "d", "d", "d", "H", "H"};
    Rule rule;
    PyObject *terms = PyTuple_GetItem(args, 7);
    if (!terms || !PyArg_ParseTuple(terms, "iiiiiddddd", &rule.rejection, &rule.method,
                                    &rule.rounds, &rule.mean_centre, &rule.std_scale, &rule.low,
                                    &rule.high, &rule.floor, &rule.slope, &rule.zero)) return NULL;
    return perform(args, 7, 2, types, 16, combine_job, &rule) ? Py_BuildValue("") : NULL;
}

/* ---- single frames --------------------------------------------------------------------------- */

/* Pixels of a flat less its dark, over its level. */
#define LIT(NAME, TYPE)                                                                            \
    WIDE static void NAME(const uint16_t *raw, const double *dark, double level, TYPE *out,        \
                          Py_ssize_t n) {                                                          \
        for (Py_ssize_t k = 0; k < n; k++) out[k] = (TYPE)((raw[k] - dark[k]) / level);            \
    }
LIT(lit_f4, float)
LIT(lit_f8, double)

/* Floats as they are on disk; the sum of their words, and how many are no numbers. */
WIDE static void store_f4(const uint32_t *pixels, uint32_t *out, Py_ssize_t n, uint64_t *found) {
    for (Py_ssize_t k = 0; k < n; k++) {
        found[0] += pixels[k];
        found[1] += (pixels[k] & 0x7FFFFFFF) > 0x7F800000;
        out[k] = pixels[k] << 24 | (pixels[k] & 0xFF00) << 8 | (pixels[k] >> 8 & 0xFF00)
            | pixels[k] >> 24;
    }
}

static void lit_job(Array *arrays, void *memory, void *level) {
    const uint16_t *raw = (void *)arrays[0].data;
    const double *dark = (void *)arrays[1].data;
    if (arrays[2].type == 'f')
        lit_f4(raw, dark, *(double *)level, (float *)arrays[2].data, arrays[0].columns);
    else lit_f8(raw, dark, *(double *)level, (double *)arrays[2].data, arrays[0].columns);
}

static PyObject *lit(PyObject *self, PyObject *args) {
    static const char *const types[] = {"H", "d", "fd"};
    PyObject *last = PyTuple_GetItem(args, 3);
    double level = last ? PyFloat_AsDouble(last) : 0;
    if (PyErr_Occurred()) return NULL;
    return perform(args, 3, 2, types, 0, lit_job, &level) ? Py_BuildValue("") : NULL;
}

static void store_job(Array *arrays, void *memory, void *found) {
    store_f4((void *)arrays[0].data, (void *)arrays[1].data, arrays[0].columns, found);
}

static PyObject *store(PyObject *self, PyObject *args) {
    static const char *const types[] = {"IL", "IL"};
    uint64_t found[2] = {0, 0};
    int done = perform(args, 2, 1, types, 0, store_job, found);
    return done ? Py_BuildValue("KK", found[0], found[1]) : NULL;
}

static PyMethodDef methods[] = {
    {"median", median, METH_VARARGS, "Write the median of each column of a stack."},
    {"combine", combine, METH_VARARGS, "Sort each column of a stack, reject, and combine."},
    {"lit", lit, METH_VARARGS, "Write a flat less its dark, over its level."},
    {"store", store, METH_VARARGS, "Turn floats into those on disk; sum them, count NaN."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_compiled", NULL, 0, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__compiled(void) { return PyModule_Create(&module); }
