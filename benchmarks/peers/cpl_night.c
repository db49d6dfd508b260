/* The same steps with ESO's Common Pipeline Library, in single precision; flats scaled by their
 * median. Built by benchmarks/night.py; run as: cpl_night NIGHT OUT */

#include <cpl.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

static char path[4096];

static glob_t frames(const char *night, const char *pattern)
{
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", night, pattern);
    if (glob(path, 0, NULL, &found)) {
        fprintf(stderr, "no frames: %s\n", path);
        exit(1);
    }
    return found;
}

static void save(const cpl_image *image, const char *like, const char *out, const char *name)
{
    cpl_propertylist *header = cpl_propertylist_load(like, 0);
    snprintf(path, sizeof path, "%s/%s", out, name);
    cpl_image_save(image, path, CPL_TYPE_FLOAT, header, CPL_IO_CREATE);
    cpl_propertylist_delete(header);
}

/* The median over frames, each less its dark and over its median where a dark is given. */
static cpl_image *master(const char *night, const char *pattern, const cpl_image *dark,
                         const char *out, const char *name)
{
    glob_t found = frames(night, pattern);
    cpl_imagelist *stack = cpl_imagelist_new();
    for (size_t i = 0; i < found.gl_pathc; i++) {
        cpl_image *frame = cpl_image_load(found.gl_pathv[i], CPL_TYPE_FLOAT, 0, 0);
        if (dark) {
            cpl_image_subtract(frame, dark);
            cpl_image_divide_scalar(frame, cpl_image_get_median(frame));
        }
        cpl_imagelist_set(stack, frame, i);
    }
    cpl_image *median = cpl_imagelist_collapse_median_create(stack);
    if (dark)
        cpl_image_divide_scalar(median, cpl_image_get_median(median));
    save(median, found.gl_pathv[0], out, name);
    cpl_imagelist_delete(stack);
    globfree(&found);
    return median;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const char *night = argv[1], *out = argv[2];
    cpl_init(CPL_INIT_DEFAULT);
    cpl_image *dark_10s = master(night, "dark/dark_10s-*.fits", NULL, out, "MasterDark_10s.fits");
    cpl_image *dark_3s = master(night, "dark/dark_3s-*.fits", NULL, out, "MasterDark_3s.fits");
    cpl_image *flat = master(night, "flat/*.fits", dark_3s, out, "MasterFlat.fits");
    glob_t found = frames(night, "ktwo220274129/*.fits");
    for (size_t i = 0; i < found.gl_pathc; i++) {
        cpl_image *frame = cpl_image_load(found.gl_pathv[i], CPL_TYPE_FLOAT, 0, 0);
        cpl_image_subtract(frame, dark_10s);
        cpl_image_divide(frame, flat);
        char name[256];
        snprintf(name, sizeof name, "%s", basename(found.gl_pathv[i]));
        strcpy(strrchr(name, '.'), "c.fits");
        char like[4096];
        snprintf(like, sizeof like, "%s/ktwo220274129/%s", night, basename(found.gl_pathv[i]));
        save(frame, like, out, name);
        cpl_image_delete(frame);
    }
    globfree(&found);
    cpl_image_delete(dark_10s);
    cpl_image_delete(dark_3s);
    cpl_image_delete(flat);
    cpl_error_code failed = cpl_error_get_code();
    if (failed)
        fprintf(stderr, "%s\n", cpl_error_get_message());
    cpl_end();
    return failed ? 1 : 0;
}
