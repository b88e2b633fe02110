#include "kernels/scratch_sizes.h"

#include <cstring>

namespace lerg {
namespace {

struct Entry {
  const char* name;
  size_t (*bytes)(const CallSizes&);
};

constexpr Entry kEntries[] = {
    {"fake_quantise_grad_step", step_grad_scratch},
    {"folded_loss_grad", folded_loss_grad_scratch},
    {"folded_rows", folded_rows_scratch},
    {"folded_table", folded_table_scratch},
    {"propagate_rows", propagate_rows_scratch},
    {"propagate_rows_grad", propagate_rows_grad_scratch},
    {"propagate_table", propagate_table_scratch},
    {"top_items", top_items_scratch},
    {"top_items_int8", top_items_int8_scratch},
};

}  // namespace

bool scratch_bytes(const char* name, const CallSizes& sizes, size_t* bytes) {
  for (const Entry& entry : kEntries)
    if (std::strcmp(entry.name, name) == 0) return *bytes = entry.bytes(sizes), true;
  return false;
}

}  // namespace lerg
