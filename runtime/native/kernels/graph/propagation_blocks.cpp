// Where propagation meets rows that are blocks of codebook rows side by side. A code occurs in its own block only, so
// what a block of columns needs of a codebook of some hundred rows lies in a core's first caches: the adjoint adds
// entity by entity, in their order, and needs no lists by code. A lane does so on one thread.
#include "kernels/loops/block_loops.h"
#include "kernels/graph/propagation.h"

namespace lerg {

void Propagation::compose_blocks(const Lane& lane, int side, const RowRange& range, CellType cells, const float* scale,
                                 void* target) const {
  const Assignment& assignment = graph_.side[side];
  block_loops().compose[cells][assignment.codes.type][lane.width](
      {assignment.codes.data, {assignment.per_row, graph_.block, lane.first}, lane.codebook, scale, target}, range);
}

void Propagation::scatter_blocks(const Lane& lane, int side, const int32_t* listed, int32_t count, CellType cells,
                                 const float* scale) const {
  const Assignment& assignment = graph_.side[side];
  block_loops().scatter[cells][assignment.codes.type][lane.width](
      {assignment.codes.data, {assignment.per_row, graph_.block, lane.first}, listed, count, lane.table[side], scale,
       lane.codebook});
}

}  // namespace lerg
