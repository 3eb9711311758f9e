/**
 * PostgreSQL's WebAssembly, compiled once a process. Every worker of the process gets this module, so that code which one of them made
 * hot is hot for the next: a backend that is started again, or a mirror after its promotion, does not begin with cold code.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** A compiled WebAssembly module; opaque here. Node has the type at run time, its type declarations do not. */
export type WasmModule = object
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { compile(bytes: Uint8Array): Promise<WasmModule> }
}

let compiled: Promise<WasmModule> | undefined

export function compiledPostgres(): Promise<WasmModule> {
  compiled ??= readFile(
    join(dirname(createRequire(import.meta.url).resolve('@electric-sql/pglite')), 'pglite.wasm'),
  ).then((bytes) => WebAssembly.compile(bytes))
  return compiled
}
