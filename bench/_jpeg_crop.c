/* What decoding a part of a JPEG's luma costs against all of it, by libjpeg-turbo's own cropping.
 *
 * gcc -O2 -o jpeg_crop _jpeg_crop.c -ljpeg;  ./jpeg_crop FILE x y width height  ->  "whole_ms part_ms", CPU time
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <jpeglib.h>

#define TIMES 100

static unsigned char data[1 << 24], row[1 << 16];

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* width 0: the whole picture */
static void decode(size_t size, JDIMENSION x, JDIMENSION y, JDIMENSION width, JDIMENSION height)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr error;
    unsigned char *line = row;
    d.err = jpeg_std_error(&error);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, data, size);
    jpeg_read_header(&d, TRUE);
    d.out_color_space = JCS_GRAYSCALE;
    jpeg_start_decompress(&d);
    if (width) {
        jpeg_crop_scanline(&d, &x, &width);
        jpeg_skip_scanlines(&d, y);
    }
    for (JDIMENSION n = width ? height : d.output_height; n; n--) jpeg_read_scanlines(&d, &line, 1);
    jpeg_abort_decompress(&d);
    jpeg_destroy_decompress(&d);
}

int main(int count, char **words)
{
    FILE *file = count == 6 ? fopen(words[1], "rb") : NULL;
    if (!file) return 2;
    size_t size = fread(data, 1, sizeof data, file);
    int box[4];
    for (int k = 0; k < 4; k++) box[k] = atoi(words[k + 2]);
    double begun = cpu_ms();
    for (int k = 0; k < TIMES; k++) decode(size, 0, 0, 0, 0);
    double half_way = cpu_ms();
    for (int k = 0; k < TIMES; k++) decode(size, box[0], box[1], box[2], box[3]);
    printf("%.3f %.3f\n", (half_way - begun) / TIMES, (cpu_ms() - half_way) / TIMES);
    return 0;
}
