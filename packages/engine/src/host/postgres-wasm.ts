/**
 * PostgreSQL's WebAssembly, compiled once a process. Every worker of the process gets this module, so that code which one of them made
 * hot is hot for the next: a backend that is started again, or a mirror after its promotion, does not begin with cold code.
 *
 * V8 compiles a function when it is called for the first time. A process that starts as mirror replays WAL for days and then, in the moment in which every
 * millisecond counts, ends recovery, plans and writes for the first time: some 0.15 s of compiling between the death of a primary and the first answer of
 * its mirror. So a mirror compiles all of it at its start (0.2 s of CPU, some 27 MB); a primary, whose start people wait for, does not.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setFlagsFromString } from 'node:v8'

/** A compiled WebAssembly module; opaque here. Node has the type at run time, its type declarations do not. */
export type WasmModule = object
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { compile(bytes: Uint8Array): Promise<WasmModule> }
}

let compiled: Promise<WasmModule> | undefined

/** The module; how much of it is compiled ahead is decided by the first who asks in this process. */
export function compiledPostgres(ahead: 'all' | 'nothing'): Promise<WasmModule> {
  compiled ??= compile(ahead)
  return compiled
}

async function compile(ahead: 'all' | 'nothing'): Promise<WasmModule> {
  const folder = dirname(createRequire(import.meta.url).resolve('@electric-sql/pglite'))
  const bytes = await readFile(join(folder, 'pglite.wasm'))
  if (ahead === 'nothing') return WebAssembly.compile(bytes)
  setFlagsFromString('--no-wasm-lazy-compilation')
  try {
    return await WebAssembly.compile(bytes)
  } finally {
    setFlagsFromString('--wasm-lazy-compilation')
  }
}
