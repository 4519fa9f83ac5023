/*
 * What a step sends: wrappers around the MPI calls that count this rank's payload, and the formulas for it.
 * To be included in one file of a program: it defines the wrappers.
 *
 * Payload of a call: the elements that a collective takes from or leaves to this rank, whichever are more, a
 * sum's elements twice (its partial sums are brought together, and handed out again); and what a message
 * between two ranks carries. Among one rank nothing is sent, and nothing counted.
 */
#ifndef SUPPORT_TRAFFIC_H
#define SUPPORT_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include <mpi.h>

typedef struct {
    double bytes;  /* payload of all calls */
    int64_t calls; /* collective ones */
    int64_t small; /* of these, with at most 64 bytes a rank: what they take is latency */
    int64_t sends; /* point-to-point messages */
} traffic;

/* Everything since the program began. The difference of two of them is what was sent between. */
static traffic traffic_so_far;

static inline traffic traffic_since(traffic before)
{
    return (traffic){traffic_so_far.bytes - before.bytes, traffic_so_far.calls - before.calls,
                     traffic_so_far.small - before.small, traffic_so_far.sends - before.sends};
}

static inline int traffic_ranks(MPI_Comm comm)
{
    int size = 0;
    PMPI_Comm_size(comm, &size);
    return size;
}

static inline void traffic_collective(MPI_Comm comm, double count, double own, MPI_Datatype type)
{
    int size = 0;
    PMPI_Type_size(type, &size);
    if (traffic_ranks(comm) == 1)
        return;
    traffic_so_far.bytes += count * size;
    traffic_so_far.calls++;
    traffic_so_far.small += own * size <= 64.0;
}

static inline double traffic_total(const int *counts, MPI_Comm comm)
{
    double sum = 0.0;
    for (int r = 0; r < traffic_ranks(comm); r++)
        sum += counts[r];
    return sum;
}

int MPI_Allreduce(const void *send, void *recv, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    traffic_collective(comm, 2.0 * count, count, type);
    return PMPI_Allreduce(send, recv, count, type, op, comm);
}

int MPI_Bcast(void *data, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
    traffic_collective(comm, count, count, type);
    return PMPI_Bcast(data, count, type, root, comm);
}

int MPI_Reduce_scatter(const void *send, void *recv, const int counts[], MPI_Datatype type, MPI_Op op,
                       MPI_Comm comm)
{
    const double total = traffic_total(counts, comm);
    traffic_collective(comm, total, total, type);
    return PMPI_Reduce_scatter(send, recv, counts, type, op, comm);
}

int MPI_Allgather(const void *send, int count, MPI_Datatype send_type, void *recv, int recv_count,
                  MPI_Datatype type, MPI_Comm comm)
{
    traffic_collective(comm, (double)recv_count * traffic_ranks(comm), recv_count, type);
    return PMPI_Allgather(send, count, send_type, recv, recv_count, type, comm);
}

int MPI_Allgatherv(const void *send, int count, MPI_Datatype send_type, void *recv, const int counts[],
                   const int starts[], MPI_Datatype type, MPI_Comm comm)
{
    const double total = traffic_total(counts, comm);
    traffic_collective(comm, total, total, type);
    return PMPI_Allgatherv(send, count, send_type, recv, counts, starts, type, comm);
}

int MPI_Alltoallv(const void *send, const int send_counts[], const int send_starts[], MPI_Datatype send_type,
                  void *recv, const int counts[], const int starts[], MPI_Datatype type, MPI_Comm comm)
{
    const double in = traffic_total(counts, comm), out = traffic_total(send_counts, comm);
    traffic_collective(comm, in > out ? in : out, in, type);
    return PMPI_Alltoallv(send, send_counts, send_starts, send_type, recv, counts, starts, type, comm);
}

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    int size = 0;
    PMPI_Type_size(type, &size);
    traffic_so_far.bytes += (double)count * size;
    traffic_so_far.sends++;
    return PMPI_Isend(data, count, type, to, tag, comm, request);
}

/* What one step of u edits, dealt evenly, should cost a rank of a p x q grid. */
typedef struct {
    double bytes; /* payload, as counted above */
    double sent;  /* the part of it that goes to other ranks, when collectives send no more than they must */
    int calls, sends;
} traffic_formula;

static inline int traffic_divisor(int a, int b)
{
    return b == 0 ? a : traffic_divisor(b, a % b);
}

/* `share` elements of a collective over `ranks`; what a rank need not send to itself is not sent. */
static inline void traffic_add(traffic_formula *f, double share, int ranks)
{
    if (ranks == 1)
        return;
    f->bytes += share;
    f->sent += share * (1.0 - 1.0 / ranks);
    f->calls++;
}

/* A sum, in two calls when it is large and the ranks no power of two (grid/panel.c). */
static inline void traffic_add_sum(traffic_formula *f, double share, double size, int ranks)
{
    traffic_add(f, 2.0 * share, ranks);
    if ((ranks & (ranks - 1)) != 0 && ranks <= 512 && share * size >= 65536.0)
        f->calls++;
}

static inline void traffic_add_sends(traffic_formula *f, double elements, int sends)
{
    f->bytes += elements;
    f->sent += elements;
    f->sends += sends;
}

/* Of u vectors or columns, the most that one of `ranks` has. */
static inline double traffic_share(double u, int ranks)
{
    return (double)(((int64_t)u + ranks - 1) / ranks);
}

/* Vectors of `length` to panels that own 1 / d of it, replicated over e ranks. */
static inline void traffic_add_dealing(traffic_formula *f, double length, double u, int d, int e)
{
    if (d > 1)
        traffic_add_sends(f, length * traffic_share(u, d * e), d);
    traffic_add(f, length * u / d, e);
}

static inline traffic_formula traffic_of_step(double n, double m, double u, int p, int q, double size)
{
    traffic_formula f = {0};
    const int ranks = p * q, g = traffic_divisor(p, q);
    traffic_add_dealing(&f, n, u, p, q); /* K_r */
    traffic_add_dealing(&f, m, u, q, p); /* V_c */
    for (int i = 0; i < 3; i++) {        /* K_r to K_c, partial sums of F in columns to rows, G_r to G_c */
        traffic_add(&f, n * u / q, p);
        if (g > 2)
            traffic_add_sends(&f, n / q * traffic_share(u, p), p / g);
    }
    traffic_add_sum(&f, n * u / p, size, q);               /* F_r */
    traffic_add_sum(&f, m * u / q, size, p);               /* E_c */
    traffic_add_sum(&f, u * (u + 1.0) / 2.0, size, ranks); /* S */
    f.bytes *= size;
    f.sent *= size;
    if (ranks > 1) { /* three agreements, the number of edits, the report; two gathers of a rank's number */
        const double small = 2.0 * (3.0 * 8.0 + 8.0 + 6.0 * 8.0) + 2.0 * 8.0 * ranks;
        f.bytes += small;
        f.sent += small;
        f.calls += 7;
    }
    return f;
}

#endif
