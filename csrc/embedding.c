/*
 * Rows of a table by their ids, and the gradient of the table.
 *
 *     out[i,:] = table[ids[i],:]              dtable[v,:] = sum over i with ids[i] = v of dout[i,:]
 *
 *     table, dtable (V, C)   ids (N,)   out, dout (N, C)
 *
 * Twins: kernels/reference/embedding.py, embedding() and embedding_backward().  The first is the
 * same bit for bit; so is the second, since both add the rows of a token in the order of i.
 *
 * Assumed, and checked before the call: V, N, C >= 1 and 0 <= ids[i] < V.
 */
/* What the tasks of this file read and write; each uses some of it. */
typedef struct {
    int64_t C;
    const REAL *rows;
    const int64_t *ids, *start, *place;
    REAL *out;
} FN(lookup);

static int64_t FN(embedding_task)(const void *call, int64_t first, int64_t end) {
    const FN(lookup) *c = call;
    for (int64_t i = first; i < end; i++)
        memcpy(c->out + i * c->C, c->rows + c->ids[i] * c->C, (size_t)c->C * sizeof(REAL));
    return -1;
}

static void FN(embedding)(int64_t N, int64_t C, const REAL *table, const int64_t *ids, REAL *out) {
    const FN(lookup) call = {.C = C, .rows = table, .ids = ids, .out = out};
    rls_share(N, N * C / 4, FN(embedding_task), &call);
}

/* One row of the table's gradient: the rows of dout named by place[0], ..., place[count - 1]. */
static void FN(embedding_backward_row)(int64_t C, const REAL *dout, const int64_t *place, int64_t count, REAL *drow) {
    for (int64_t j = 0; j < C; j++) drow[j] = 0;
    for (int64_t n = 0; n < count; n++)
        for (int64_t j = 0; j < C; j++) drow[j] += dout[place[n] * C + j];
}

static int64_t FN(embedding_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(lookup) *c = call;
    for (int64_t v = first; v < end; v++)
        FN(embedding_backward_row)(c->C, c->rows, c->place + c->start[v], c->start[v + 1] - c->start[v],
                                   c->out + v * c->C);
    return -1;
}

/*
 * The rows of dout are first sorted by token, in the order of i within a token: place[start[v]],
 * ..., place[start[v + 1] - 1] are those of token v.  Threads then split the table's rows, of which
 * each has one writer.
 */
static int64_t FN(embedding_backward)(int64_t N, int64_t C, int64_t V, const REAL *dout, const int64_t *ids,
                                      REAL *dtable) {
    int64_t *start = calloc((size_t)(V + 2 + N), sizeof *start), *place = start + V + 2;
    if (start == NULL) return RLS_NO_MEMORY;
    for (int64_t i = 0; i < N; i++) start[ids[i] + 2]++;
    for (int64_t v = 2; v < V + 2; v++) start[v] += start[v - 1];
    for (int64_t i = 0; i < N; i++) place[start[ids[i] + 1]++] = i; /* moves start[v + 1] to the end of v */
    const FN(lookup) call = {.C = C, .rows = dout, .start = start, .place = place, .out = dtable};
    rls_share(V, (V + N) * C / 4, FN(embedding_backward_task), &call);
    free(start);
    return -1;
}
