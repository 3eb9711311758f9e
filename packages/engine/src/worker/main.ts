/**
 * Entry of the worker thread: hosts one start of PostgreSQL.
 *
 * Made by the main thread (host/engine-thread.ts), told to begin for one start of the backend (host/worker-host.ts). Ends by itself when the backend has shut
 * down or died, or by being terminated. It answers `run` messages one after the other; a mirror answers none until promoted.
 */
import { parentPort, type MessagePort } from 'node:worker_threads'
import type { PGlite } from '@electric-sql/pglite'
import { instancePaths } from '../layout.ts'
import { ResultJournal } from '../shared/journal.ts'
import { Field, SharedState } from '../shared/shared-state.ts'
import type { FromWorker, ToWorker } from '../shared/worker-protocol.ts'
import { startBackend } from './backend.ts'
import { toldToBegin } from './begin.ts'
import { DurableFs, type FsObserver } from './durable-fs.ts'
import { LateSyncs } from './late-syncs.ts'
import { OutputStream } from './output-stream.ts'
import { moduleOf, type PostgresModule } from './postgres-module.ts'
import { ProtocolRunner } from './protocol-runner.ts'
import { Reporter } from './reporter.ts'
import { RestoreWal } from './restore-wal.ts'
import { WalCapture } from './wal-capture.ts'
import { WalGuard } from './wal-guard.ts'

const port = parentPort as MessagePort
const data = await toldToBegin()
const paths = instancePaths(data.root)
const state = new SharedState(data.shared)
const journal = new ResultJournal(data.journal)

let module: PostgresModule | undefined
let capture: WalCapture | undefined
let reporter: Reporter | undefined
let runner: ProtocolRunner | undefined
let restore: RestoreWal | undefined
let recoveringTold = false

function post(message: FromWorker, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

/** Says why, and ends this thread without running anything else of PostgreSQL. */
function die(type: 'died' | 'refused', error: unknown): never {
  post({ type, message: wordsOf(error) })
  process.exit(1)
}

/** emscripten throws things of its own: what they say, or how they look. */
function wordsOf(error: unknown): string {
  if (error instanceof Error) return error.message
  const { message, status } = (error ?? {}) as { message?: unknown; status?: unknown }
  if (typeof message === 'string') return message
  return typeof status === 'number' ? `exit status ${status}` : String(error)
}

/** How far WAL is flushed, and on which timeline. Asked of PostgreSQL's own function: a first SQL statement would cost a promotion its planning. */
function flushed(mod: PostgresModule): { timeline: number; lsn: number } {
  const top = mod.stackSave()
  const pointer = top - 16
  mod.stackRestore(pointer)
  const lsn = Number(mod._GetFlushRecPtr(pointer))
  const { buffer } = mod.HEAPU8
  const timeline = new DataView(buffer).getUint32(pointer, true)
  mod.stackRestore(top)
  return { timeline, lsn }
}

function publishReplay(): void {
  if (module === undefined || data.role === 'primary') return
  const lsn = module._GetXLogReplayRecPtr(0)
  state.setReplay(lsn)
  if (lsn !== 0n) tellRecovering()
}

function tellRecovering(): void {
  if (recoveringTold) return
  recoveringTold = true
  post({ type: 'recovering', replay: state.replay() })
}

const observer: FsObserver = {
  walWritten(lsn, timeline, bytes) {
    if (capture === undefined || reporter === undefined) return
    reporter.timeline = timeline
    capture.write(lsn, bytes)
    reporter.shipIfMuch()
    runner?.interruptIfCancelled()
  },
  walWanted(name, position, length) {
    try {
      restore?.beforeRead(name, position, length)
    } catch (error) {
      die('died', error)
    }
  },
  walRead() {
    if (runner === undefined) publishReplay()
  },
  dataTouched() {
    if (runner === undefined) return
    reporter?.reportIfWaiting()
    runner.interruptIfCancelled()
  },
  syncFailed(error) {
    die('died', error)
  },
}

function serveRestore(mod: PostgresModule): void {
  module = mod
  if (data.role === 'primary') return
  const source = new RestoreWal(paths, data.segmentBytes, state, () => {
    publishReplay()
    tellRecovering()
  })
  restore = source
  const fn = mod.addFunction((pointer) => {
    try {
      return source.run(mod.UTF8ToString(pointer))
    } catch (error) {
      return die('died', error)
    }
  }, 'pi')
  mod._pgl_set_system_fn(fn)
}

function open(pg: PGlite, fs: DurableFs, guard: WalGuard): void {
  const mod = moduleOf(pg)
  const { timeline, lsn } = flushed(mod)
  capture = new WalCapture(lsn)
  reporter = new Reporter(timeline, capture, state, journal, post)
  runner = new ProtocolRunner(mod, state, reporter, new OutputStream(state, post))
  fs.opened()
  guard.ensureDurable()
  post({ type: 'ready', timeline, lsn, walWrites: state.get(Field.walWrites) })
}

async function stop(pg: PGlite): Promise<void> {
  // PGlite's own close runs PostgreSQL's exit functions: the shutdown checkpoint among them.
  post({ type: 'stopping' })
  const mod = moduleOf(pg)
  await pg.close()
  reporter?.reportLast(Number(mod._GetFlushRecPtr(0)))
  guard.ensureDurable()
  post({ type: 'stopped' })
  process.exit(0)
}

const guard = new WalGuard(paths.pgWal, state)
const late = new LateSyncs(state, data.role, (files) => post({ type: 'sync', paths: files }))
const dataSync =
  data.faults === undefined ? undefined : (await import('./data-sync-faults.ts')).dataSyncFaults(data.faults)
const fs = new DurableFs(paths, data.segmentBytes, guard, late, observer, dataSync)
fs.onRuntime = serveRestore
const log = (line: string) => post({ type: 'log', line })
const pg = await startBackend(paths, fs, data, log).catch((error: unknown) => die('refused', error))
open(pg, fs, guard)

port.on('message', (message: ToWorker) => {
  try {
    if (message.type === 'run') (runner as ProtocolRunner).run(message.requests, message.bytes)
    else stop(pg).catch((error: unknown) => die('died', error))
  } catch (error) {
    die('died', error)
  }
})
