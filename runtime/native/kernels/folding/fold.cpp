// lerg::folded_rows and lerg::folded_table: rows of the folded propagation matrix times the quantised codebook.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/ranking/integer_table.h"
#include "kernels/parallel.h"
#include "kernels/scratch_sizes.h"
#include "kernels/triples.h"

namespace lerg {
namespace {

constexpr int64_t kMostColumns = 4096;

// Writes one row of entries times the table, `dim` floats.
void fold_row(const Entries& entries, int64_t row, const IntegerTable& table, float factor, float* out) {
  alignas(64) float wide[kMostColumns];
  const bool whole = table.stride() == table.dim();
  row_loops().fold[entries.codes.type][table.type()](
      {entries.codes_of(row), entries.weights_of(row), entries.per_row, table.cells(), table.stride(), table.stride(),
       table.steps().each, factor * table.steps().all * entries.scale_of(row), whole ? out : wide});
  if (!whole) std::memcpy(out, wide, table.dim() * sizeof(float));
}

void lay_out(IntegerTable& table, Triples& triples, Scratch& scratch) {
  table.lay_out(scratch);
  triples.lay_out(scratch);
}

const char* check_quantiser(const Tensor& step, int64_t codes, int64_t bits) {
  if (bits != 4 && bits != 8 && bits != 16) return "bits must be 4, 8 or 16";
  if (!is_floats(step, 1) || step.size(0) < 1 || (step.size(0) != 1 && step.size(0) != codes))
    return "step must be float32, one or one a codebook row";
  return nullptr;
}

const char* check_placeholders(const Tensor& placeholders, int64_t dim, int64_t user_placeholders) {
  if (!is_floats(placeholders, 2) || placeholders.size(1) != dim)
    return "placeholders must be a float32 matrix as wide as the codebook";
  if (user_placeholders < 0 || user_placeholders > placeholders.size(0))
    return "user_placeholders must lie in [0, placeholders]";
  return dim > kMostColumns ? "a row may have 4096 columns" : nullptr;
}

}  // namespace

size_t folded_rows_scratch(const CallSizes& sizes) {
  IntegerTable table(sizes.codebook_rows, sizes.dim, sizes.bits, Steps());
  Triples triples;
  triples.batch = sizes.requests;
  Scratch scratch;
  lay_out(table, triples, scratch);
  return scratch.bytes();
}

size_t folded_table_scratch(const CallSizes& sizes) {
  Scratch scratch;
  IntegerTable(sizes.codebook_rows, sizes.dim, sizes.bits, Steps()).lay_out(scratch);
  return scratch.bytes();
}

Tensor& folded_rows_out(KernelRuntimeContext& context, const Tensor& codebook, const Tensor& step, const Tensor& codes,
                        const Tensor& weights, const Tensor& scales, const Tensor& scale_table,
                        const Tensor& placeholders, const Tensor& users, const Tensor& positives,
                        const Tensor& negatives, int64_t retained_users, int64_t user_placeholders, int64_t bits,
                        Tensor& out) {
  LERG_CHECK(context, is_floats(codebook, 2), out, "codebook must be a float32 matrix");
  const int64_t dim = codebook.size(1);
  Entries entries;
  Triples triples;
  const char* problem = check_quantiser(step, codebook.size(0), bits);
  if (problem == nullptr) problem = read_entries({codes, weights, scales, scale_table, retained_users}, &entries);
  if (problem == nullptr) problem = check_placeholders(placeholders, dim, user_placeholders);
  if (problem == nullptr) problem = read_triples(users, positives, negatives, &triples);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {triples.count(), dim},
                                  {&codebook, &step, &codes, &weights, &scales, &scale_table, &placeholders,
                                   &users, &positives, &negatives}),
             out, "out cannot hold the rows");
  IntegerTable table(codebook.size(0), dim, bits, Steps(step));
  if (!allocate_scratch(context, [&](Scratch& scratch) { lay_out(table, triples, scratch); })) return out;
  const int64_t limit[2] = {entries.users + user_placeholders,
                            entries.rows - entries.users + placeholders.size(0) - user_placeholders};
  LERG_CHECK(context, triples.find_rows(entries, limit, user_placeholders, codebook.size(0)), out,
             "a slot lies outside [0, retained + placeholders), or a code outside [0, codes) or out of order");
  const float factor = table.quantise(codebook.const_data_ptr<float>());
  const float* rest = placeholders.const_data_ptr<float>();
  float* result = out.mutable_data_ptr<float>();
  const int64_t count = triples.count();
  run_parts(kFoldParts, count * entries.per_row * dim, [&](int part) {
    for (int64_t i = count * part / kFoldParts; i < count * (part + 1) / kFoldParts; ++i) {
      const int64_t row = triples.rows[i];
      if (row >= 0) fold_row(entries, row, table, factor, result + i * dim);
      else std::memcpy(result + i * dim, rest + (-1 - row) * dim, dim * sizeof(float));
    }
  });
  return out;
}

Tensor& folded_table_out(KernelRuntimeContext& context, const Tensor& packed, const Tensor& step, const Tensor& codes,
                         const Tensor& weights, const Tensor& scales, const Tensor& scale_table,
                         const Tensor& placeholders, int64_t retained_users, int64_t user_placeholders, int64_t side,
                         int64_t bits, Tensor& out) {
  const ScalarType stored = bits == 4 ? ScalarType::Byte : bits == 8 ? ScalarType::Char : ScalarType::Short;
  LERG_CHECK(context, is_array(packed, stored, 2), out, "packed must be uint8 (4 bits), int8 (8) or int16 (16)");
  LERG_CHECK(context, side == 0 || side == 1, out, "side must be 0 (users) or 1 (items)");
  const int64_t dim = packed.size(1) * (bits == 4 ? 2 : 1);
  Entries entries;
  const char* problem = check_quantiser(step, packed.size(0), bits);
  if (problem == nullptr) problem = read_entries({codes, weights, scales, scale_table, retained_users}, &entries);
  if (problem == nullptr) problem = check_placeholders(placeholders, dim, user_placeholders);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  const int64_t first = side == 0 ? 0 : entries.users;
  const int64_t retained = side == 0 ? entries.users : entries.rows - entries.users;
  const int64_t first_rest = side == 0 ? 0 : user_placeholders;
  const int64_t rest = side == 0 ? user_placeholders : placeholders.size(0) - user_placeholders;
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {retained + rest, dim},
                                  {&packed, &step, &codes, &weights, &scales, &scale_table, &placeholders}),
             out, "out cannot hold the table");
  IntegerTable table(packed.size(0), dim, bits, Steps(step));
  if (!allocate_scratch(context, [&](Scratch& scratch) { table.lay_out(scratch); })) return out;
  table.unpack(packed);
  float* rows = out.mutable_data_ptr<float>();
  std::atomic<bool> good{true};
  run_parts(kFoldParts, retained * entries.per_row * dim, [&](int part) {
    for (int64_t i = retained * part / kFoldParts; i < retained * (part + 1) / kFoldParts; ++i) {
      if (entries.good_codes(first + i, table.rows())) fold_row(entries, first + i, table, 1.0f, rows + i * dim);
      else good.store(false, std::memory_order_relaxed);
    }
  });
  LERG_CHECK(context, good.load(), out, "a code lies outside [0, codes) or out of order");
  if (rest > 0)
    std::memcpy(rows + retained * dim, placeholders.const_data_ptr<float>() + first_rest * dim,
                rest * dim * sizeof(float));
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "folded_rows.out", lerg::folded_rows_out);
EXECUTORCH_LIBRARY(lerg, "folded_table.out", lerg::folded_table_out);
