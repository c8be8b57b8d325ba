/* SPDX-License-Identifier: BSD-3-Clause */
/* Prints a file as rows of hexadecimal numbers, and hides rows that repeat. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 16 };

static void print_row(unsigned long offset, const unsigned char *row, size_t length)
{
    printf("%08lx ", offset);
    for (size_t i = 0; i < WIDTH; i++) {
        if (i == WIDTH / 2)
            putchar(' ');
        if (i < length)
            printf(" %02x", row[i]);
        else
            fputs("   ", stdout);
    }
    fputs("  |", stdout);
    for (size_t i = 0; i < length; i++)
        putchar(isprint(row[i]) ? row[i] : '.');
    puts("|");
}

static int dump(FILE *file)
{
    unsigned char row[WIDTH], before[WIDTH];
    unsigned long offset = 0;
    size_t length;
    int hiding = 0;

    while ((length = fread(row, 1, WIDTH, file)) > 0) {
        int same = offset > 0 && length == WIDTH && memcmp(row, before, WIDTH) == 0;
        if (same && !hiding)
            puts("*");
        hiding = same;
        if (!same)
            print_row(offset, row, length);
        memcpy(before, row, length);
        offset += length;
    }
    printf("%08lx\n", offset);
    return ferror(file) ? -1 : 0;
}

int main(int argc, char **argv)
{
    FILE *file = stdin;

    if (argc > 1 && (file = fopen(argv[1], "rb")) == NULL) {
        fprintf(stderr, "hexview: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    return dump(file) == 0 ? 0 : 1;
}
