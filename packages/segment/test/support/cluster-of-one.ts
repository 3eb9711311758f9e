/** A content made of real parts for tests: PGlite engines, TCP, disk. One process; instances can be started, stopped, and asked. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cloneTemplate, createEngine, createTemplate } from '@mirabelle/engine'
import { queryMessage, writeIdentity } from '@mirabelle/instance'
import type { Assignment, Message, MessageOf, MirabelleError } from '@mirabelle/messages'
import {
  openLogger,
  realClock,
  realDisk,
  realNetwork,
  realRandom,
  type Connection,
  type Hello,
  type Ports,
} from '@mirabelle/runtime'
import { createSegment, type Segment } from '../../src/index.ts'

export const CLUSTER = 'test-cluster'
export const key = new Uint8Array(32).fill(7)

export function makePorts(name: string): Ports {
  const { log } = openLogger({ name, level: (process.env['TEST_LOG'] as 'info' | undefined) ?? 'silent' })
  return {
    clock: realClock,
    disk: realDisk,
    random: realRandom,
    network: realNetwork({ clusterKey: key, log }),
    log,
  }
}

export function assignmentOf(
  base: string,
  dbid: number,
  role: 'p' | 'm',
  peer: { dbid: number; port: number } | null,
): Assignment {
  return {
    dbid,
    content: 0,
    role,
    epoch: 1,
    hostname: 'localhost',
    datadir: join(base, `dbid${dbid}`),
    listen: { addresses: ['127.0.0.1'], port: 0 },
    sqlPort: 0,
    peer: peer === null ? null : { dbid: peer.dbid, endpoint: { addresses: ['127.0.0.1'], port: peer.port } },
    syncRep: null,
    recovery: 'auto',
    copyMaxRate: null,
    settings: {},
  }
}

export interface Running {
  readonly segment: Segment
  readonly ended: Promise<MirabelleError | undefined>
}

export function startSegment(assignment: Assignment, ports = makePorts(`dbid${assignment.dbid}`)): Running {
  let end: (error: MirabelleError | undefined) => void = () => undefined
  const ended = new Promise<MirabelleError | undefined>((resolve) => {
    end = resolve
  })
  const engine = createEngine({
    dataDir: assignment.datadir,
    logger: ports.log,
    setTimer: (ms, fn) => ports.clock.setTimer(ms, fn),
  })
  const segment = createSegment({ ports, clusterId: CLUSTER, assignment, engine, onEnd: end })
  return { segment, ended }
}

/** A folder with the data directories of these instances, cloned from one template. */
export async function makeFolders(
  dbids: readonly number[],
): Promise<{ base: string; remove: () => Promise<void> }> {
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-segment-'))
  const template = await createTemplate({ cacheDir: join(tmpdir(), 'mirabelle-test-templates') })
  for (const dbid of dbids) {
    const datadir = join(base, `dbid${dbid}`)
    await writeIdentity(realDisk, datadir, { clusterId: CLUSTER, content: 0, dbid, createdAt: Date.now() })
    await cloneTemplate(template, datadir)
  }
  return { base, remove: () => rm(base, { recursive: true, force: true }) }
}

export interface Answer {
  readonly ok: boolean
  readonly output: Uint8Array
  readonly lsn: number
  readonly txStatus: string
}

/** A coordinator's side of a dispatch connection. */
export class Dispatcher {
  readonly connection: Connection
  #seq: number
  #batch: [number, number, number, number, Uint8Array][] = []
  #queued = false
  readonly closed: Promise<MirabelleError>
  readonly chunks = new Map<number, Uint8Array[]>()
  /** Give credit for streamed output at once. */
  autoCredit = true
  frames = 0
  readonly #waiting = new Map<number, { resolve: (a: Answer) => void; reject: (e: Error) => void }>()

  private constructor(connection: Connection, nextSeq: number) {
    this.connection = connection
    this.#seq = nextSeq
    this.closed = new Promise((resolve) => {
      connection.setHandlers({
        onMessage: (message) => this.#message(message),
        onClose: (reason) => {
          for (const one of this.#waiting.values()) one.reject(reason)
          this.#waiting.clear()
          resolve(reason)
        },
      })
    })
  }

  static async open(
    port: number,
    dbid: number,
    options: { epoch?: number; incarnation?: string; nextSeq?: number; content?: number } = {},
  ): Promise<Dispatcher> {
    const { epoch = 1, incarnation = 'c1', nextSeq = 1, content = 0 } = options
    const connection = await connect(port, 'dispatch', epoch)
    const dispatcher = new Dispatcher(connection, nextSeq)
    dispatcher.closed.catch(() => undefined)
    dispatcher.opened = await connection.request(
      { type: 'dispatch.open', dbid, content, epoch, incarnation, nextSeq },
      10_000,
    )
    return dispatcher
  }
  opened: MessageOf<'dispatch.opened'> | undefined

  get nextSeq(): number {
    return this.#seq
  }

  sql(text: string, flags = 0): Promise<Answer> {
    return this.send(queryMessage(text), 1, flags)
  }

  send(bytes: Uint8Array, syncs: number, flags = 0): Promise<Answer> {
    const seq = this.#seq++
    this.#batch.push([seq, syncs, 0, flags, bytes])
    if (!this.#queued) {
      this.#queued = true
      queueMicrotask(() => {
        this.#queued = false
        this.connection.send({ type: 'query.dispatch', items: this.#batch })
        this.#batch = []
      })
    }
    return new Promise((resolve, reject) => this.#waiting.set(seq, { resolve, reject }))
  }

  #message(message: Message): void {
    switch (message.type) {
      case 'query.done':
        this.frames++
        for (const [seq, lsn, txStatus, , output] of message.items) {
          const one = this.#waiting.get(seq)
          this.#waiting.delete(seq)
          one?.resolve({ ok: !hasError(output), output, lsn, txStatus })
        }
        return
      case 'query.failed': {
        const one = this.#waiting.get(message.seq)
        this.#waiting.delete(message.seq)
        one?.reject(new Error(`${message.code}: ${message.message}`))
        return
      }
      case 'query.output': {
        const list = this.chunks.get(message.seq) ?? []
        list.push(message.chunk)
        this.chunks.set(message.seq, list)
        if (this.autoCredit)
          this.connection.send({ type: 'query.credit', seq: message.seq, bytes: message.chunk.length })
        return
      }
      default:
        throw new Error(`unexpected ${message.type}`)
    }
  }
}

function hasError(output: Uint8Array): boolean {
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength)
  for (let at = 0; at + 5 <= output.length; at += 1 + view.getInt32(at + 1))
    if (output[at] === 0x45) return true
  return false
}

export function hello(purpose: Hello['purpose'], epoch: number): Hello {
  return { clusterId: CLUSTER, kind: 'instance', dbid: 1, content: -1, name: 'coordinator', purpose, epoch }
}

const open = new Set<Connection>()

/** Closes what the test has opened. */
export function closeAll(): void {
  for (const connection of open) connection.close()
  open.clear()
}

export async function connect(port: number, purpose: Hello['purpose'], epoch = 1): Promise<Connection> {
  const connection = await makePorts('coordinator').network.connect(
    { addresses: ['127.0.0.1'], port },
    hello(purpose, epoch),
    {
      timeoutMs: 5_000,
      silenceTimeoutMs: 0,
    },
  )
  open.add(connection)
  return connection
}

/** FTS's side of a control connection. */
export async function control(port: number, dbid: number, epoch = 1) {
  const connection = await connect(port, 'control', epoch)
  connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
  const who = { dbid, content: 0, epoch }
  /** The pair is always 2 and 3. */
  const mirror = dbid === 2 ? 3 : 2
  return {
    connection,
    probe: () => connection.request({ type: 'fts.probe', ...who, mirror }, 5_000),
    promote: () => connection.request({ type: 'segment.promote', ...who }, 5_000),
    syncRepOff: () => connection.request({ type: 'segment.syncRepOff', ...who }, 5_000),
    status: () => connection.request({ type: 'instance.status' }, 5_000),
  }
}

/** Asks until the answer satisfies, or throws after 20 s with the last one. */
export async function until<T>(
  ask: () => Promise<T> | T,
  good: (answer: T) => boolean,
  what: string,
): Promise<T> {
  const end = performance.now() + 20_000
  for (;;) {
    const answer = await ask()
    if (good(answer)) return answer
    if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
