/*
 * A foreign MPI program that edits a weight of its own with librlsedit, on every second of its ranks, while
 * the others do something else. Build it against an installed rlsedit:
 *
 *     mpicc library.c $(pkg-config --cflags --libs rlsedit) -o library && mpirun -n 4 ./library
 *
 * It checks the result against the same recursion in plain loops, and exits with 0 if they agree.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <rlsedit/rlsedit.h>

enum { N = 37, M = 11, BLOCK = 4, BATCHES = 2, EDITS = 3 };
static const double lambda = 0.5;

/* Numbers to work with: any will do. */
static double weight_at(int64_t i, int64_t j)
{
    return sin(1.0 + (double)i * M + (double)j);
}
static double key_at(int edit, int64_t i)
{
    return cos((edit + 1.0) * (double)(i + 2));
}
static double value_at(int edit, int64_t j)
{
    return sin(edit * 7.0 + (double)j);
}

static void check(const rls_context *ctx, rls_status status, const char *what)
{
    if (status != RLS_OK) {
        (void)fprintf(stderr, "%s: %s\n", what,
                      ctx != NULL ? rls_context_message(ctx) : rls_status_text(status));
        MPI_Abort(MPI_COMM_WORLD, rls_status_exit_code(status));
    }
}

/* X = W^T [N, M] after all edits, one at a time: c = C k, s = 1 + k.c, W += (v - W k) c^T / s, C -= c c^T /
 * s. */
static void expected(double x[N][M])
{
    static double c[N][N];
    for (int i = 0; i < N; i++) {
        c[i][i] = 1.0 / (lambda * lambda);
        for (int j = 0; j < M; j++) {
            x[i][j] = weight_at(i, j);
        }
    }
    for (int edit = 0; edit < BATCHES * EDITS; edit++) {
        double ck[N] = {0};
        double s = 1.0;
        for (int i = 0; i < N; i++) {
            for (int l = 0; l < N; l++) {
                ck[i] += c[i][l] * key_at(edit, l);
            }
            s += ck[i] * key_at(edit, i);
        }
        for (int j = 0; j < M; j++) {
            double missing = value_at(edit, j);
            for (int i = 0; i < N; i++) {
                missing -= x[i][j] * key_at(edit, i);
            }
            for (int i = 0; i < N; i++) {
                x[i][j] += missing * ck[i] / s;
            }
        }
        for (int i = 0; i < N; i++) {
            for (int l = 0; l < N; l++) {
                c[i][l] -= ck[i] * ck[l] / s;
            }
        }
    }
}

/* Makes a state whose weight each rank fills in from what it has: here a formula, in life a piece of its own
 * matrix. */
static rls_editor *make_editor(rls_context *ctx, rls_grid *grid)
{
    const rls_editor_options options = {
        .rule = "rls", .lambda = lambda, .mu = 0.0, .dtype = RLS_F64, .n = N, .m = M, .block = BLOCK};
    rls_editor *editor = NULL;
    check(ctx, rls_editor_create(grid, &options, &editor), "create");
    rls_matrix *weight = rls_editor_weight(editor);
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t ld = 0;
    double *x = rls_matrix_local(weight, &rows, &cols, &ld);
    for (int64_t jl = 0; jl < cols; jl++) {
        for (int64_t il = 0; il < rows; il++) {
            x[il + jl * ld] = weight_at(rls_matrix_global_row(weight, il), rls_matrix_global_col(weight, jl));
        }
    }
    check(ctx, rls_editor_start(editor, NULL), "start");
    return editor;
}

/* Feeds one batch. Rank 0 has all of its edits here; any share on any rank would do. */
static void feed(rls_context *ctx, rls_editor *editor, int number)
{
    double keys[EDITS][N];
    double values[EDITS][M];
    for (int edit = 0; edit < EDITS; edit++) {
        for (int i = 0; i < N; i++) {
            keys[edit][i] = key_at(number * EDITS + edit, i);
        }
        for (int j = 0; j < M; j++) {
            values[edit][j] = value_at(number * EDITS + edit, j);
        }
    }
    const int64_t count = rls_context_rank(ctx) == 0 ? EDITS : 0;
    const rls_batch batch = {
        .keys = {count, RLS_F64, keys}, .values = {count, RLS_F64, values}, .kind = RLS_TARGET};
    rls_step_report report;
    check(ctx, rls_editor_step(editor, &batch, &report), "step");
    if (rls_context_rank(ctx) == 0) {
        printf("batch of %d edits: innovation %.3g, afterwards %.3g\n", (int)report.edits,
               report.innovation_before, report.innovation_after);
    }
}

/* The largest error of the weight on this rank. */
static double read_back(rls_editor *editor)
{
    static double x[N][M];
    expected(x);
    rls_matrix *weight = rls_editor_weight(editor);
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t ld = 0;
    const double *local = rls_matrix_local(weight, &rows, &cols, &ld);
    double worst = 0.0;
    for (int64_t jl = 0; jl < cols; jl++) {
        for (int64_t il = 0; il < rows; il++) {
            const double right = x[rls_matrix_global_row(weight, il)][rls_matrix_global_col(weight, jl)];
            worst = fmax(worst, fabs(local[il + jl * ld] - right));
        }
    }
    return worst;
}

static double edit_weight(MPI_Comm comm)
{
    rls_context *ctx = NULL;
    rls_grid *grid = NULL;
    check(ctx, rls_context_create(comm, &ctx), "context");
    check(ctx, rls_grid_create(ctx, 0, 0, &grid), "grid");
    rls_editor *editor = make_editor(ctx, grid);
    for (int number = 0; number < BATCHES; number++) {
        feed(ctx, editor, number);
    }
    const double worst = read_back(editor);
    rls_editor_destroy(&editor);
    rls_grid_destroy(&grid);
    rls_context_destroy(&ctx);
    return worst;
}

/* What the other ranks are busy with meanwhile: their own collectives, until they are done. */
static double something_else(MPI_Comm comm)
{
    for (int round = 0; round < 1000; round++) {
        int sum = 1;
        MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT, MPI_SUM, comm);
    }
    return 0.0;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm part;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &part);
    double worst = rank % 2 == 0 ? edit_weight(part) : something_else(part);
    MPI_Comm_free(&part);
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    const int good = worst <= 1e-12;
    if (rank == 0) {
        printf("largest error of the weight: %.2g\n", worst);
    }
    MPI_Finalize();
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
