/* The BLACS calls in use; the library ships no C header. Names and types are the library's. */
#ifndef GRID_BLACS_H
#define GRID_BLACS_H

#include <mpi.h>

int Csys2blacs_handle(MPI_Comm comm);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int *context, const char *order, int nprow, int npcol);
void Cblacs_gridexit(int context);

#endif
