// ISA-L's inflate state holds arrays larger than Swift imports as tuples, so Swift sees it through a
// pointer and these few accessors.
#pragma once
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

typedef struct inflate_state *bh_inflate_ref;

static inline bh_inflate_ref bh_inflate_new(void) {
  return (bh_inflate_ref)malloc(sizeof(struct inflate_state));
}
static inline void bh_inflate_free(bh_inflate_ref state) { free(state); }

// Makes ready for the header of the next gzip member.
static inline void bh_inflate_begin_member(bh_inflate_ref state) {
  isal_inflate_init(state);
  state->crc_flag = ISAL_GZIP;
}

// Inflates from `in` to `out`; `in_length` and `out_length` become what is left of each. The last
// bytes of a member may have been read ahead by ISA-L: it gives them back when the member ends.
static inline int bh_inflate(bh_inflate_ref state, const uint8_t *in, uint32_t *in_length, uint8_t *out,
                             uint32_t *out_length) {
  state->next_in = (uint8_t *)in;
  state->avail_in = *in_length;
  state->next_out = out;
  state->avail_out = *out_length;
  int result = isal_inflate(state);
  *in_length = state->avail_in;
  *out_length = state->avail_out;
  return result;
}
static inline int bh_inflate_member_ended(bh_inflate_ref state) { return state->block_state == ISAL_BLOCK_FINISH; }
