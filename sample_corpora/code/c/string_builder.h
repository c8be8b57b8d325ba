/* SPDX-License-Identifier: GPL-3.0-only */
/* A growing string; include it and define STRING_BUILDER_IMPLEMENTATION once. */

#ifndef STRING_BUILDER_H
#define STRING_BUILDER_H

#include <stdarg.h>
#include <stddef.h>

struct string_builder {
    char *text;
    size_t length;
    size_t capacity;
    int failed;
};

void sb_append(struct string_builder *sb, const char *text);
void sb_format(struct string_builder *sb, const char *pattern, ...);
char *sb_take(struct string_builder *sb);

#ifdef STRING_BUILDER_IMPLEMENTATION

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sb_reserve(struct string_builder *sb, size_t extra)
{
    size_t needed = sb->length + extra + 1;
    size_t capacity = sb->capacity ? sb->capacity : 64;

    if (sb->failed)
        return 0;
    while (capacity < needed)
        capacity *= 2;
    if (capacity != sb->capacity) {
        char *grown = realloc(sb->text, capacity);
        if (grown == NULL) {
            sb->failed = 1;
            return 0;
        }
        sb->text = grown;
        sb->capacity = capacity;
    }
    return 1;
}

void sb_append(struct string_builder *sb, const char *text)
{
    size_t extra = strlen(text);

    if (!sb_reserve(sb, extra))
        return;
    memcpy(sb->text + sb->length, text, extra + 1);
    sb->length += extra;
}

void sb_format(struct string_builder *sb, const char *pattern, ...)
{
    va_list arguments, copy;

    va_start(arguments, pattern);
    va_copy(copy, arguments);
    int extra = vsnprintf(NULL, 0, pattern, copy);
    va_end(copy);
    if (extra >= 0 && sb_reserve(sb, (size_t)extra)) {
        vsnprintf(sb->text + sb->length, (size_t)extra + 1, pattern, arguments);
        sb->length += (size_t)extra;
    }
    va_end(arguments);
}

/* Hands the text over to the caller, who frees it; NULL if memory ran out. */
char *sb_take(struct string_builder *sb)
{
    char *text = sb->text;

    if (sb->failed) {
        free(text);
        text = NULL;
    }
    memset(sb, 0, sizeof *sb);
    return text;
}

#endif
#endif
