/** An instance with a stand-in engine, stand-in WAL parts and no network, on the real disk: decisions and answers without PostgreSQL. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EnginePort, EngineStarted } from '@mirabelle/engine'
import type {
  Assignment,
  Message,
  MessageOf,
  MirabelleError,
  ReplicationRow,
  RequestType,
} from '@mirabelle/messages'
import {
  realClock,
  realDisk,
  realRandom,
  type Connection,
  type Disk,
  type Hello,
  type Listener,
  silentLogger,
  type Ports,
  type Responder,
} from '@mirabelle/runtime'
import type {
  MirrorStatus,
  WalReceiver,
  WalReceiverOptions,
  WalSenderHub,
  WalSenderHubOptions,
} from '@mirabelle/wal'
import { acceptConnection } from '../../src/control/connections.ts'
import { handleControl } from '../../src/control/control.ts'
import { InstanceActor, writeIdentity, type InstanceHooks, type WalParts } from '../../src/index.ts'

/** Orders of what happened, across engine, disk and answers. */
export type Journal = string[]

export function standInEngine(
  journal: Journal,
): EnginePort & { fail?: Error; lsn: number; hold?: Promise<void> } {
  const started = (timeline: number): EngineStarted => ({ generation: 1, timeline, lsn: engine.lsn })
  let timeline = 1
  const engine: EnginePort & { fail?: Error; lsn: number; hold?: Promise<void> } = {
    lsn: 1000,
    onWal: () => undefined,
    onDeath: () => undefined,
    startPrimary: async () => {
      journal.push('startPrimary')
      await engine.hold
      if (engine.fail !== undefined) throw engine.fail
      return started(timeline)
    },
    startMirror: async (options) => {
      journal.push(`startMirror ${options.timeline}`)
      await engine.hold
      timeline = options.timeline
      return started(timeline)
    },
    walArrived: (tli, end) => void journal.push(`walArrived ${tli} ${end}`),
    replayLsn: () => engine.lsn,
    promote: () => {
      journal.push('promote')
      timeline += 1
      return Promise.resolve(started(timeline))
    },
    submit: () => Promise.reject(new Error('no SQL here')),
    cancel: () => undefined,
    syncWal: () => Promise.resolve(engine.lsn),
    flushLsn: () => engine.lsn,
    stop: (mode) => {
      journal.push(`stop ${mode}`)
      return Promise.resolve()
    },
  }
  return engine
}

export const noMirror: MirrorStatus = {
  state: 'none',
  dbid: 0,
  flushLsn: 0,
  caughtUp: false,
  connectedSince: null,
  disconnectedAt: 0,
  attempts: 0,
}

export interface StandInWal {
  parts: WalParts
  status: MirrorStatus
  hub: WalSenderHubOptions | undefined
  receiver: WalReceiverOptions | undefined
}

export function standInWal(journal: Journal): StandInWal {
  const wal: StandInWal = {
    status: { ...noMirror, disconnectedAt: realClock.monotonic() },
    hub: undefined,
    receiver: undefined,
    parts: {
      createHub: (options) => {
        wal.hub = options
        let known = { incarnation: '', floor: 0, entries: [] as never[] }
        return {
          accept: () => undefined,
          publish: () => undefined,
          settledReset: () => undefined,
          settledSeed: (seed) => (known = seed as typeof known),
          settledKnown: () => known,
          restarted: () => undefined,
          get endLsn() {
            return options.state().flushLsn
          },
          mirrorStatus: () => wal.status,
          replicationRows: () =>
            wal.status.state === 'none' ? [] : [wal.status as unknown as ReplicationRow],
          disconnect: () => undefined,
          stop: () => void journal.push('hub stopped'),
        } satisfies WalSenderHub
      },
      createReceiver: (options) => {
        wal.receiver = options
        const receiver: WalReceiver = {
          state: 'streaming',
          reason: null,
          positions: () => ({ timeline: 1, writeLsn: 0, flushLsn: 0, validEnd: 0, senderEnd: 0 }),
          settledLookup: () => ({ floor: 0, settled: [] }),
          settledKnown: () => ({ incarnation: '', floor: 0, entries: [] }),
          setPeer: (peer) => void journal.push(`setPeer ${peer.dbid}`),
          stop: () => {
            journal.push('receiver stopped')
            const settled = {
              incarnation: 'c1',
              floor: 5,
              entries: [
                [5, 900, null],
                [6, 1200, null],
              ] as const,
            }
            return Promise.resolve({ timeline: 1, history: [], receivedEnd: 1000, settled })
          },
        }
        queueMicrotask(() => options.onState?.('streaming', null))
        return receiver
      },
      createReader: () => ({
        read: () => Promise.resolve(new Uint8Array(0)),
        oldestLsn: () => Promise.resolve(0),
        readHistory: () => Promise.resolve(undefined),
      }),
      findEnd: () => Promise.resolve({ timeline: 1, receivedEnd: 1000, history: [] }),
      history: () => Promise.resolve([]),
    },
  }
  return wal
}

export interface One {
  instance: InstanceActor
  engine: ReturnType<typeof standInEngine>
  wal: StandInWal
  journal: Journal
  base: string
  ended: { error: MirabelleError | undefined }[]
  ask<K extends RequestType>(message: MessageOf<K>): Promise<Message>
  accept(hello: Partial<Hello>): { closed: () => boolean }
}

export interface OneOptions {
  role?: 'p' | 'm'
  content?: number
  assignment?: Partial<Assignment>
  hooks?: Partial<InstanceHooks>
  disk?: (real: Disk) => Disk
  base?: string
  identity?: { clusterId?: string; content?: number; dbid?: number } | null
}

export async function makeOne(
  teardown: (fn: () => Promise<void>) => void,
  options: OneOptions = {},
): Promise<One> {
  const base = options.base ?? (await mkdtemp(join(tmpdir(), 'mirabelle-instance-')))
  if (options.base === undefined) teardown(() => rm(base, { recursive: true, force: true }))
  const { role = 'p', content = 0 } = options
  const datadir = join(base, 'd')
  if (options.identity !== null) {
    const identity = { clusterId: 'c', content, dbid: 2, createdAt: 1, ...options.identity }
    await writeIdentity(realDisk, datadir, identity)
  }
  await realDisk.makeDir(join(datadir, 'pgdata'))
  const journal: Journal = []
  const disk: Disk = {
    ...realDisk,
    writeFileDurable: (path, text) => {
      journal.push(`write ${path.split('/').at(-1)}`)
      return realDisk.writeFileDurable(path, text)
    },
  }
  const listener: Listener = { port: 1, close: () => Promise.resolve() }
  const ports: Ports = {
    clock: realClock,
    disk: options.disk?.(disk) ?? disk,
    random: realRandom,
    log: silentLogger,
    network: {
      listen: () => Promise.resolve(listener),
      connect: () => Promise.reject(new Error('nobody there')),
    },
  }
  const engine = standInEngine(journal)
  const wal = standInWal(journal)
  const ended: One['ended'] = []
  const instance = new InstanceActor({
    ports,
    clusterId: 'c',
    engine,
    wal: wal.parts,
    maintenance: false,
    assignment: {
      dbid: 2,
      content,
      role,
      epoch: 1,
      hostname: 'h',
      datadir,
      listen: { addresses: ['127.0.0.1'], port: 0 },
      sqlPort: 0,
      peer: { dbid: 3, endpoint: { addresses: ['127.0.0.1'], port: 9 } },
      syncRep: null,
      recovery: 'auto',
      copyMaxRate: null,
      settings: {},
      ...options.assignment,
    },
    hooks: { onEnd: (error) => ended.push({ error }), ...options.hooks },
  })
  teardown(async () => instance.stop('immediate'))
  const connection = { peer: { name: 'test' }, setHandlers: () => undefined } as unknown as Connection
  return {
    instance,
    engine,
    wal,
    journal,
    base,
    ended,
    ask: (message) =>
      new Promise((resolve, reject) => {
        const respond = { reply: resolve, fail: reject } as unknown as Responder
        if (!handleControl(instance, connection, message as Message, respond)) reject(new Error('not taken'))
      }),
    accept: (hello) => {
      let closed = false
      const one = { setHandlers: () => undefined, close: () => (closed = true) } as unknown as Connection
      const whole: Hello = {
        clusterId: 'c',
        kind: 'instance',
        dbid: 1,
        content: -1,
        name: 'x',
        purpose: 'control',
        epoch: 1,
        ...hello,
      }
      acceptConnection(instance, one, whole)
      return { closed: () => closed }
    },
  }
}

/** Resolves when the condition holds; throws after 5 s. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 5_000
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
