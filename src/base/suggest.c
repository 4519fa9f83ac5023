#include "base/suggest.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST = 63 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t rls_edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > LONGEST || nb > LONGEST)
        return SIZE_MAX;
    /* rows i - 2, i - 1 and i of the table of distances between prefixes, in turn */
    size_t table[3][LONGEST + 1];
    for (size_t j = 0; j <= nb; j++)
        table[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *row = table[i % 3], *above = table[(i + 2) % 3], *above2 = table[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            row[j] = smaller(smaller(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], above2[j - 2] + 1);
        }
    }
    return table[na % 3][nb];
}

bool rls_closer(const char *word, const char *name, size_t *best)
{
    size_t distance = rls_edit_distance(word, name);
    if (distance >= *best || distance > 1 + strlen(name) / 4)
        return false;
    *best = distance;
    return true;
}
