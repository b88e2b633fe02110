// lerg::folded_rows, lerg::folded_rows_grad and lerg::folded_table: rows of the folded propagation matrix times the
// quantised codebook, and the adjoint.
//
// Forward, rows are shared out; backward, blocks of columns are, and each adds up its rows in order: neither result
// depends on the number of threads.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "folded.h"
#include "integer_table.h"
#include "parallel.h"

namespace lerg {
namespace {

constexpr int kFoldParts = 64;
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

// The slots of a batch of triples and the rows that they lead to.
struct Triples {
  const int64_t* slots[3];
  int64_t batch = 0;
  int32_t* rows = nullptr;  // [3 batch], of the entries; -1 - p for the placeholder p

  int64_t count() const { return 3 * batch; }
  void lay_out(Scratch& scratch) { rows = scratch.take<int32_t>(count()); }

  // Fills `rows`. `limit` bounds the slots of each side. False if a slot or a code of its row is not below its bound.
  bool find_rows(const Entries& entries, const int64_t (&limit)[2], int64_t user_placeholders, int64_t codes) const {
    std::atomic<bool> good{true};
    for (int column = 0; column < 3; ++column) {
      const int side = column == 0 ? 0 : 1;
      run_parts(kFoldParts, batch * entries.per_row, [&](int part) {
        for (int64_t b = batch * part / kFoldParts; b < batch * (part + 1) / kFoldParts; ++b) {
          const int64_t slot = slots[column][b];
          const bool inside = slot >= 0 && slot < limit[side];
          const int64_t row = inside ? row_of_slot(entries, side, slot, user_placeholders) : -1;
          if (!inside || (row >= 0 && !entries.good_codes(row, codes))) good.store(false, std::memory_order_relaxed);
          rows[column * batch + b] = static_cast<int32_t>(row);
        }
      });
    }
    return good.load();
  }
};

const char* read_triples(const Tensor& users, const Tensor& positives, const Tensor& negatives, Triples* triples) {
  const Tensor* all[3] = {&users, &positives, &negatives};
  for (int column = 0; column < 3; ++column) {
    if (!is_array(*all[column], ScalarType::Long, 1) || all[column]->size(0) != users.size(0))
      return "users, positives and negatives must be int64 vectors of one length";
    triples->slots[column] = all[column]->const_data_ptr<int64_t>();
  }
  triples->batch = users.size(0);
  return nullptr;
}

const char* check_quantiser(const Tensor& step, int64_t codes, int64_t bits) {
  if (bits != 4 && bits != 8 && bits != 16) return "bits must be 4, 8 or 16";
  if (!is_floats(step, 1) || (step.size(0) != 1 && step.size(0) != codes))
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
  LERG_CHECK(context, resize(out, {triples.count(), dim}), out, "out cannot hold the rows");
  IntegerTable table(codebook.size(0), dim, bits, Steps(step));
  if (!allocate_scratch(context, [&](Scratch& scratch) {
        table.lay_out(scratch);
        triples.lay_out(scratch);
      }))
    return out;
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

Tensor& folded_rows_grad_out(KernelRuntimeContext& context, const Tensor& grad, const Tensor& codes,
                             const Tensor& weights, const Tensor& scales, const Tensor& scale_table,
                             const Tensor& users, const Tensor& positives, const Tensor& negatives,
                             int64_t retained_users, int64_t code_count, Tensor& out) {
  Entries entries;
  Triples triples;
  const char* problem = read_entries({codes, weights, scales, scale_table, retained_users}, &entries);
  if (problem == nullptr) problem = read_triples(users, positives, negatives, &triples);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, is_floats(grad, 2) && grad.size(0) == triples.count(), out,
             "grad must be a float32 matrix with a row for each slot");
  LERG_CHECK(context, code_count >= 0 && code_count <= INT32_MAX, out, "code_count must not be negative");
  const int64_t dim = grad.size(1), count = triples.count();
  LERG_CHECK(context, resize(out, {code_count, dim}), out, "out cannot hold the codebook's gradient");
  float* factors = nullptr;
  if (!allocate_scratch(context, [&](Scratch& scratch) {
        triples.lay_out(scratch);
        factors = scratch.take<float>(count);
      }))
    return out;
  const int64_t limit[2] = {INT64_MAX, INT64_MAX};
  LERG_CHECK(context, triples.find_rows(entries, limit, 0, code_count), out,
             "a slot is negative, or a code lies outside [0, code_count) or out of order");
  for (int64_t i = 0; i < count; ++i) factors[i] = triples.rows[i] < 0 ? 0.0f : entries.scale_of(triples.rows[i]);
  const float* incoming = grad.const_data_ptr<float>();
  float* result = out.mutable_data_ptr<float>();
  // Wide blocks are faster, and narrow ones leave more threads something to do.
  const int64_t width = dim >= 4 * kUnfoldColumns ? 2 * kUnfoldColumns : kUnfoldColumns;
  run_parts(static_cast<int>((dim + width - 1) / width), count * entries.per_row * dim, [&](int block) {
    const int64_t first = block * width;
    const auto columns = static_cast<int32_t>(std::min<int64_t>(width, dim - first));
    for (int64_t code = 0; code < code_count; ++code) std::fill_n(result + code * dim + first, columns, 0.0f);
    row_loops().unfold[entries.codes.type]({entries.codes.data, entries.weights, entries.per_row, triples.rows,
                                            factors, count, incoming + first, dim, columns, result + first});
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
  LERG_CHECK(context, resize(out, {retained + rest, dim}), out, "out cannot hold the table");
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
EXECUTORCH_LIBRARY(lerg, "folded_rows_grad.out", lerg::folded_rows_grad_out);
EXECUTORCH_LIBRARY(lerg, "folded_table.out", lerg::folded_table_out);
