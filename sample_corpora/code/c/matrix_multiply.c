/* SPDX-License-Identifier: Apache-2.0 */
/* Multiplies two square matrices in tiles and compares the time with the plain loop. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TILE 32

static void multiply_plain(int n, const double *a, const double *b, double *c)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0.0;
            for (int k = 0; k < n; k++)
                sum += a[i * n + k] * b[k * n + j];
            c[i * n + j] = sum;
        }
}

static int least(int x, int y)
{
    return x < y ? x : y;
}

static void multiply_tiled(int n, const double *a, const double *b, double *c)
{
    for (int i = 0; i < n * n; i++)
        c[i] = 0.0;
    for (int kk = 0; kk < n; kk += TILE)
        for (int jj = 0; jj < n; jj += TILE)
            for (int i = 0; i < n; i++)
                for (int k = kk; k < least(kk + TILE, n); k++) {
                    double factor = a[i * n + k];
                    for (int j = jj; j < least(jj + TILE, n); j++)
                        c[i * n + j] += factor * b[k * n + j];
                }
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 200;
    size_t bytes = (size_t)n * n * sizeof(double);
    double *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes), *d = malloc(bytes);

    if (n < 1 || !a || !b || !c || !d)
        return 1;
    for (int i = 0; i < n * n; i++) {
        a[i] = rand() / (double)RAND_MAX;
        b[i] = rand() / (double)RAND_MAX;
    }
    clock_t t0 = clock();
    multiply_plain(n, a, b, c);
    clock_t t1 = clock();
    multiply_tiled(n, a, b, d);
    clock_t t2 = clock();
    double worst = 0.0;
    for (int i = 0; i < n * n; i++)
        worst = fmax(worst, fabs(c[i] - d[i]));
    printf("plain %.3f s, tiled %.3f s, largest difference %g\n",
           (double)(t1 - t0) / CLOCKS_PER_SEC, (double)(t2 - t1) / CLOCKS_PER_SEC, worst);
    free(a); free(b); free(c); free(d);
    return 0;
}
