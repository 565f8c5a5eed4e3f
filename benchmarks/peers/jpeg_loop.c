/* libjpeg-turbo's API in a loop over files in memory: what a decoder costs when
 * nothing else is done. Compiled and called by jpeg_loop.py. */
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <stdlib.h>
#include <jpeglib.h>

struct failure {
  struct jpeg_error_mgr base;
  jmp_buf back;
};

#define STRING(x) #x
#define AS_STRING(x) STRING(x)

/* The version of jpeglib.h, which is the system library's. */
const char *header_version(void) { return AS_STRING(LIBJPEG_TURBO_VERSION); }

static void leave(j_common_ptr cinfo) { longjmp(((struct failure *)cinfo->err)->back, 1); }
static void silent(j_common_ptr cinfo) { (void)cinfo; }

/* Decodes files[first], files[first+step], ... to RGB, each into the same
 * memory, and returns how many; -1 where the library refuses one. */
int decode_files(const unsigned char **files, const unsigned long *sizes, int n, int first, int step) {
  struct jpeg_decompress_struct cinfo;
  struct failure err;
  unsigned char *volatile pixels = NULL;
  volatile size_t held = 0;
  volatile int decoded = 0;
  cinfo.err = jpeg_std_error(&err.base);
  err.base.error_exit = leave;
  err.base.output_message = silent;
  jpeg_create_decompress(&cinfo);
  if (setjmp(err.back)) {
    jpeg_destroy_decompress(&cinfo);
    free(pixels);
    return -1;
  }
  for (int i = first; i < n; i += step, decoded++) {
    jpeg_mem_src(&cinfo, files[i], sizes[i]);
    jpeg_read_header(&cinfo, TRUE);
    cinfo.out_color_space = JCS_RGB;
    jpeg_start_decompress(&cinfo);
    size_t stride = (size_t)cinfo.output_width * 3, need = stride * cinfo.output_height;
    if (need > held) {
      free(pixels);
      pixels = malloc(need);
      held = need;
      if (pixels == NULL) longjmp(err.back, 1);
    }
    while (cinfo.output_scanline < cinfo.output_height) {
      JSAMPROW rows[16];
      int k = 0;
      for (; k < 16 && cinfo.output_scanline + k < cinfo.output_height; k++) rows[k] = pixels + stride * (cinfo.output_scanline + k);
      jpeg_read_scanlines(&cinfo, rows, k);
    }
    jpeg_finish_decompress(&cinfo);
  }
  jpeg_destroy_decompress(&cinfo);
  free(pixels);
  return decoded;
}
