// The working memory of a kernel's call, before there are tensors to call it with: the kernels themselves are asked.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lerg {

// What a call's working memory depends on; every kernel reads the sizes that it has.
struct CallSizes {
  int64_t users = 0, items = 0;   // rows of the graph's sides; of a ranking, users that ask and items in the catalogue
  int64_t codes_per_entity = 0;
  int64_t edges = 0;
  int64_t blocks = 0;             // 1 where rows are blocks of codebook rows, 0 where they are weighted sums
  int64_t codebook_rows = 0;
  int64_t dim = 0;
  int64_t bits = 8;               // of the codebook
  int64_t layers = 0;
  int64_t layer_bits = 32;
  int64_t side = 0;               // 0 for users, 1 for items
  int64_t requests = 0;           // rows asked for, or triples of a batch
  int64_t wanted = 0;             // ranks of each user
};

size_t propagate_rows_scratch(const CallSizes& sizes);
size_t propagate_rows_grad_scratch(const CallSizes& sizes);
size_t propagate_table_scratch(const CallSizes& sizes);
size_t folded_rows_scratch(const CallSizes& sizes);
size_t folded_table_scratch(const CallSizes& sizes);
size_t folded_loss_grad_scratch(const CallSizes& sizes);
size_t step_grad_scratch(const CallSizes& sizes);
// Most that so many users or fewer take.
size_t top_items_scratch(const CallSizes& sizes);
size_t top_items_int8_scratch(const CallSizes& sizes);

// Bytes that a call of the operator lerg::`name` takes, in multiples of 64. False if no operator of that name takes any.
__attribute__((visibility("default"))) bool scratch_bytes(const char* name, const CallSizes& sizes, size_t* bytes);

}  // namespace lerg
