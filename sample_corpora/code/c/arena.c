/* SPDX-License-Identifier: MIT */
/* An arena allocator: many small pieces, all of them freed at once. */

#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *previous;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

struct arena {
    struct block *current;
    size_t block_size;
};

static size_t round_up(size_t size)
{
    size_t step = alignof(max_align_t);
    return (size + step - 1) / step * step;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    struct block *block = arena->current;

    size = round_up(size);
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > arena->block_size ? size : arena->block_size;
        block = malloc(sizeof *block + room);
        if (block == NULL)
            return NULL;
        block->previous = arena->current;
        block->used = 0;
        block->size = room;
        arena->current = block;
    }
    void *piece = block->bytes + block->used;
    block->used += size;
    return piece;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    size_t length = strlen(text) + 1;
    char *copy = arena_alloc(arena, length);
    return copy ? memcpy(copy, text, length) : NULL;
}

void arena_free(struct arena *arena)
{
    while (arena->current != NULL) {
        struct block *block = arena->current;
        arena->current = block->previous;
        free(block);
    }
}

int main(void)
{
    struct arena arena = {NULL, 4096};
    const char *words[] = {"lamp", "salt", "clock"};

    for (int i = 0; i < 3; i++)
        puts(arena_strdup(&arena, words[i]));
    arena_free(&arena);
    return 0;
}
