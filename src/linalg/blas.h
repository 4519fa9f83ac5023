/* The Fortran BLAS, LAPACK and ScaLAPACK routines in use. Integers are 32-bit (LP64). */
#ifndef LINALG_BLAS_H
#define LINALG_BLAS_H

#define RLS_BLAS_PROTOTYPES(real, gemm, gemv, ger, symm, symv, trsm, potrf)                                  \
    void gemm(const char *transa, const char *transb, const int *m, const int *n, const int *k,              \
              const real *alpha, const real *a, const int *lda, const real *b, const int *ldb,               \
              const real *beta, real *c, const int *ldc);                                                    \
    void gemv(const char *trans, const int *m, const int *n, const real *alpha, const real *a,               \
              const int *lda, const real *x, const int *incx, const real *beta, real *y, const int *incy);   \
    void ger(const int *m, const int *n, const real *alpha, const real *x, const int *incx, const real *y,   \
             const int *incy, real *a, const int *lda);                                                      \
    void symm(const char *side, const char *uplo, const int *m, const int *n, const real *alpha,             \
              const real *a, const int *lda, const real *b, const int *ldb, const real *beta, real *c,       \
              const int *ldc);                                                                               \
    void symv(const char *uplo, const int *n, const real *alpha, const real *a, const int *lda,              \
              const real *x, const int *incx, const real *beta, real *y, const int *incy);                   \
    void trsm(const char *side, const char *uplo, const char *trans, const char *diag, const int *m,         \
              const int *n, const real *alpha, const real *a, const int *lda, real *b, const int *ldb);      \
    void potrf(const char *uplo, const int *n, real *a, const int *lda, int *info)

RLS_BLAS_PROTOTYPES(double, dgemm_, dgemv_, dger_, dsymm_, dsymv_, dtrsm_, dpotrf_);
RLS_BLAS_PROTOTYPES(float, sgemm_, sgemv_, sger_, ssymm_, ssymv_, strsm_, spotrf_);

#define RLS_SCALAPACK_PROTOTYPES(real, symm)                                                                 \
    void symm(const char *side, const char *uplo, const int *m, const int *n, const real *alpha,             \
              const real *a, const int *ia, const int *ja, const int *desca, const real *b, const int *ib,   \
              const int *jb, const int *descb, const real *beta, real *c, const int *ic, const int *jc,      \
              const int *descc)

RLS_SCALAPACK_PROTOTYPES(double, pdsymm_);
RLS_SCALAPACK_PROTOTYPES(float, pssymm_);

#endif
