/** Instances made of real parts (PGlite, TCP, disk) for the tests of the copy. One process; each can be started, stopped, asked. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cloneTemplate, createEngine, createTemplate, type EnginePort } from '@mirabelle/engine'
import type { Assignment, Message, MirabelleError, Role } from '@mirabelle/messages'
import {
  openLogger,
  realClock,
  realDisk,
  realNetwork,
  realRandom,
  type Connection,
  type ConnectOptions,
  type Hello,
  type Ports,
} from '@mirabelle/runtime'
import { decodeAnswer, InstanceActor, queryMessage, writeIdentity, type TextRows } from '../../src/index.ts'

export const CLUSTER = 'copy-test'
const clusterKey = new Uint8Array(32).fill(9)

export function realPorts(name: string): Ports {
  const { log } = openLogger({ name, level: (process.env['TEST_LOG'] as 'info' | undefined) ?? 'silent' })
  const network = realNetwork({ clusterKey, log })
  return { clock: realClock, disk: realDisk, random: realRandom, log, network }
}

/** A folder for a cluster's instances, with folders cloned from one template for these dbids; others have an identity only. */
export async function clusterFolder(cloned: readonly number[], bare: readonly number[] = []) {
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-copy-'))
  const cacheDir = join(tmpdir(), `mirabelle-engine-test-${process.getuid?.() ?? 0}`)
  const template = await createTemplate({ cacheDir })
  for (const dbid of [...cloned, ...bare]) {
    const datadir = join(base, `dbid${dbid}`)
    await writeIdentity(realDisk, datadir, { clusterId: CLUSTER, content: 0, dbid, createdAt: Date.now() })
    if (cloned.includes(dbid)) await cloneTemplate(template, datadir)
  }
  return { base, remove: () => rm(base, { recursive: true, force: true }) }
}

export interface Started {
  readonly actor: InstanceActor
  readonly engine: EnginePort
  readonly datadir: string
  readonly ended: Promise<MirabelleError | undefined>
  readonly started: Promise<void>
  sql(text: string): Promise<TextRows>
}

let tag = 1

/** Starts an instance. */
export function startInstance(
  base: string,
  dbid: number,
  role: Role,
  peer: { readonly dbid: number; readonly port: number } | null,
  recovery: Assignment['recovery'] = 'auto',
  ports = realPorts(`dbid${dbid}`),
  settings: Assignment['settings'] = {},
): Started {
  const datadir = join(base, `dbid${dbid}`)
  const assignment: Assignment = {
    dbid,
    content: 0,
    role,
    epoch: 1,
    hostname: 'localhost',
    datadir,
    listen: { addresses: ['127.0.0.1'], port: 0 },
    sqlPort: 0,
    peer: peer === null ? null : { dbid: peer.dbid, endpoint: { addresses: ['127.0.0.1'], port: peer.port } },
    syncRep: null,
    recovery,
    copyMaxRate: null,
    settings,
  }
  const engine = createEngine({
    dataDir: datadir,
    logger: ports.log,
    setTimer: (ms, fn) => ports.clock.setTimer(ms, fn),
  })
  let end: (error: MirabelleError | undefined) => void = () => undefined
  const ended = new Promise<MirabelleError | undefined>((resolve) => {
    end = resolve
  })
  const actor = new InstanceActor({ ports, clusterId: CLUSTER, assignment, engine, hooks: { onEnd: end } })
  const started = actor.start()
  started.catch(() => undefined)
  const sql = async (text: string): Promise<TextRows> => {
    const result = await engine.submit({ bytes: queryMessage(text), syncs: 1, tag: tag++ })
    return decodeAnswer(text, result.output)
  }
  return { actor, engine, datadir, ended, started, sql }
}

/** Rejects with the error with which the instance ended, if it does before `wait` is over. */
export async function unlessEnded<T>(one: Started, wait: Promise<T>): Promise<T> {
  const fails = one.ended.then((error) => {
    throw error ?? new Error(`${one.datadir} was stopped`)
  })
  return await Promise.race([wait, fails])
}

/** Asks until the answer satisfies, or throws after 60 s. */
export async function until<T>(
  ask: () => T | Promise<T>,
  good: (answer: T) => boolean,
  what: string,
): Promise<T> {
  const end = performance.now() + 60_000
  for (;;) {
    const answer = await ask()
    if (good(answer)) return answer
    if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The mirror has all of the primary's WAL. */
export async function caughtUp(primary: Started, mirror: Started): Promise<void> {
  await until(
    () => mirror.actor.roleState === 'mirror' && mirror.actor.status().flushLsn,
    (flushLsn) => flushLsn !== false && flushLsn >= primary.engine.flushLsn(),
    'the mirror catches up',
  )
}

/** Files of a folder with their content, by path. */
export async function contentOf(folder: string): Promise<Map<string, Buffer>> {
  const all = new Map<string, Buffer>()
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    all.set(path.slice(folder.length + 1), await readFile(path))
  }
  return all
}

/** A network whose connections of purpose `copy` are handed to `watch` when they are made. */
export function watchingCopies(ports: Ports, watch: (connection: Connection) => void): Ports {
  const { network } = ports
  const connect = async (
    endpoint: Parameters<typeof network.connect>[0],
    hello: Hello,
    options: ConnectOptions,
  ) => {
    const connection = await network.connect(endpoint, hello, options)
    if (hello.purpose === 'copy') watch(connection)
    return connection
  }
  return { ...ports, network: { listen: (...args) => network.listen(...args), connect } }
}

/** Looks at the requests of a connection, before they are sent and after they are answered. */
export function watchRequests(
  connection: Connection,
  watch: { readonly before?: () => void; readonly after?: (reply: Message) => void },
): void {
  const request = connection.request.bind(connection) as (
    message: never,
    timeoutMs: number,
  ) => Promise<Message>
  connection.request = (async (message: never, timeoutMs: number) => {
    watch.before?.()
    const reply = await request(message, timeoutMs)
    watch.after?.(reply)
    return reply
  }) as Connection['request']
}
