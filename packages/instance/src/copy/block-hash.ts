/**
 * Hashes of 8 KiB blocks, by which two copies of a file are compared. SHA-1 cut to 64 bits: blocks are compared place by place, so that two
 * that differ pass for equal with probability 2^-64 each. Some 7 µs a block; work is cut into slices of a fraction of a millisecond.
 */
import { hash } from 'node:crypto'
import { BLOCK_BYTES } from '@mirabelle/engine'
import type { FileHandle } from '@mirabelle/runtime'

/** Length of one hash. */
export const HASH_BYTES = 8
/** Read and hashed in one go: 32 blocks, about 0.2 ms. */
const SLICE_BYTES = 32 * BLOCK_BYTES

/** Hashes of the blocks of `bytes`, concatenated; the last block may be short. */
export function hashBlocks(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.length / BLOCK_BYTES)
  const hashes = new Uint8Array(blocks * HASH_BYTES)
  for (let block = 0; block < blocks; block++) {
    const from = block * BLOCK_BYTES
    const digest = hash('sha1', bytes.subarray(from, from + BLOCK_BYTES), 'buffer')
    hashes.set(digest.subarray(0, HASH_BYTES), block * HASH_BYTES)
  }
  return hashes
}

/**
 * Hashes of `blocks` blocks of a file from `firstBlock` on; fewer when the file ends, or is taken to end at `fileEnd`. The event loop
 * turns between slices.
 */
export async function hashFile(
  file: FileHandle,
  firstBlock: number,
  blocks: number,
  fileEnd = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  const hashes = new Uint8Array(blocks * HASH_BYTES)
  const end = Math.min((firstBlock + blocks) * BLOCK_BYTES, fileEnd)
  let have = 0
  for (let at = firstBlock * BLOCK_BYTES; at < end; at += SLICE_BYTES) {
    const wanted = Math.min(SLICE_BYTES, end - at)
    const bytes = await file.read(at, wanted)
    hashes.set(hashBlocks(bytes), have)
    have += Math.ceil(bytes.length / BLOCK_BYTES) * HASH_BYTES
    if (bytes.length < wanted) break
  }
  return hashes.subarray(0, have)
}

/** True when both lists have a hash at `block` and it is the same. */
export function sameHash(mine: Uint8Array, theirs: Uint8Array, block: number): boolean {
  const from = block * HASH_BYTES
  if (mine.length < from + HASH_BYTES || theirs.length < from + HASH_BYTES) return false
  for (let at = from; at < from + HASH_BYTES; at++) if (mine[at] !== theirs[at]) return false
  return true
}
