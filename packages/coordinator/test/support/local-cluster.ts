/**
 * A cluster for SQL tests: real PGlite engines for the coordinator and the contents, the real dispatcher, sessions and front door; no network
 * between them, no mirrors. One process.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cloneTemplate, createEngine, createTemplate, type EnginePort } from '@mirabelle/engine'
import { CONTENT_SETTING, defaultSettings, MirabelleError, type Settings } from '@mirabelle/messages'
import { createFrontDoor, type FrontDoor } from '@mirabelle/pgwire'
import { openLogger, realClock, realDisk, realRandom, type Ports } from '@mirabelle/runtime'
import pg from 'pg'
import { bootstrapSql } from '../../src/catalog/bootstrap-sql.ts'
import { Dispatcher } from '../../src/dispatcher.ts'
import { queryMessage } from '../../src/lanes/frontend-bytes.ts'
import type { BackendEvents, LaneBackend } from '../../src/lanes/lane-backend.ts'
import { openLocalBackend } from '../../src/lanes/local-backend.ts'
import { clientAuthentication } from '../../src/front/client-authentication.ts'
import { spillFiles } from '../../src/front/spill-files.ts'
import { createSqlFrontend, type SqlFrontend } from '../../src/session/sql-frontend.ts'
import { refreshSql } from '../../src/views/live-views.ts'
import type { FrontendHooks } from '../../src/session/frontend-hooks.ts'

export interface LocalCluster {
  readonly port: number
  readonly dispatcher: Dispatcher
  readonly frontend: SqlFrontend
  readonly door: FrontDoor
  readonly engines: ReadonlyMap<number, EnginePort>
  /** The connection to a content breaks and is made again; its engine has rolled back what was open. */
  lose(content: number): Promise<void>
  /** Holds the answers of a content back, as its commit gate does while the mirror is away; what comes back lets them out. */
  closeGate(content: number): () => void
  /** A connected client, closed with the cluster. */
  client(options?: pg.ClientConfig): Promise<pg.Client>
  stop(): Promise<void>
}

export interface LocalClusterOptions {
  readonly contents?: number
  readonly settings?: Partial<Settings>
  readonly hooks?: Partial<FrontendHooks>
}

export function testPorts(name: string): Ports {
  const { log } = openLogger({ name, level: (process.env['TEST_LOG'] as 'info' | undefined) ?? 'silent' })
  const network = {
    connect: () => Promise.reject(new Error('no network here')),
    listen: () => Promise.reject(new Error('no network here')),
  } as unknown as Ports['network']
  return { clock: realClock, disk: realDisk, random: realRandom, network, log }
}

export async function startLocalCluster(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const ports = testPorts('local-cluster')
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-sql-'))
  const template = await createTemplate({
    cacheDir: join(tmpdir(), 'mirabelle-test-templates'),
    bootstrapSql,
  })
  const contents = [-1, ...Array.from({ length: options.contents ?? 2 }, (_, i) => i)]
  const settings: Settings = { ...defaultSettings, ...options.settings } as Settings
  const dispatcher = new Dispatcher({
    ports,
    contents,
    incarnation: ports.random.hex(4),
    failoverTimeoutMs: () => settings.failover_timeout,
    onLaneLost: () => undefined,
  })
  const engines = new Map<number, EnginePort>()
  const closedGates = new Map<number, (() => void)[]>()
  const backends = new Map<number, { readonly events: BackendEvents; readonly backend: LaneBackend }>()
  for (const content of contents) {
    const dataDir = join(base, `content${content}`)
    await cloneTemplate(template, dataDir)
    const engine = createEngine({
      dataDir,
      settings: { [CONTENT_SETTING]: String(content) },
      logger: ports.log,
      setTimer: (ms, fn) => ports.clock.setTimer(ms, fn),
    })
    const { generation } = await engine.startPrimary()
    engines.set(content, engine)
    dispatcher.setPrimary(content, `content${content}`, (events) => {
      const backend = openLocalBackend(
        {
          engine,
          whenDurable: (_lsn, then) => {
            const waiting = closedGates.get(content)
            if (waiting === undefined) then()
            else waiting.push(then)
          },
          cancelGraceMs: 500,
          generation,
        },
        events,
      )
      backends.set(content, { events, backend })
      return Promise.resolve(backend)
    })
  }
  await dispatcher.whenOpen(ports.clock, 10_000)
  const frontend: SqlFrontend = createSqlFrontend({
    dispatcher,
    ports,
    superuser: 'postgres',
    hooks: {
      settings: () => settings,
      showSetting: (name) =>
        Object.hasOwn(settings, name) ? String(settings[name as keyof Settings]) : undefined,
      refreshLiveViews: (relations) =>
        refreshSql(relations, {
          cluster: () => Promise.reject(new Error('no cluster here')),
          sessions: () => frontend.activities(),
        }),
      settingRows: () => [],
      configure: () => Promise.reject(new Error('no catalog here')),
      requestFtsScan: () => Promise.resolve(),
      signal: (pid, how) => door[how](pid),
      ...options.hooks,
    },
  })
  await frontend.start()
  const door: FrontDoor = await createFrontDoor({
    listen: { host: '127.0.0.1', port: 0 },
    authenticate: clientAuthentication({
      trustLoopback: () => true,
      requireTls: () => false,
      role: (name) => frontend.role(name),
      now: () => ports.clock.now(),
    }),
    logger: ports.log,
    openSpillFile: spillFiles(ports.disk, base),
    sessionFactory: frontend.sessionFactory,
  })
  const clients: pg.Client[] = []
  let tag = 2 ** 50
  return {
    port: door.address.port,
    dispatcher,
    frontend,
    door,
    engines,
    async lose(content) {
      const lost = backends.get(content)
      lost?.backend.close()
      await engines.get(content)?.submit({ bytes: queryMessage('ROLLBACK'), syncs: 1, tag: ++tag })
      lost?.events.onLost(new MirabelleError('connection.lost', `the test broke content ${content}`))
    },
    closeGate(content) {
      const waiting: (() => void)[] = []
      closedGates.set(content, waiting)
      return () => {
        closedGates.delete(content)
        for (const then of waiting) then()
      }
    },
    async client(config = {}) {
      const client = new pg.Client({
        host: '127.0.0.1',
        port: door.address.port,
        user: 'postgres',
        database: 'postgres',
        ...config,
      })
      client.on('error', () => undefined)
      await client.connect()
      clients.push(client)
      return client
    },
    async stop() {
      for (const client of clients) await client.end().catch(() => undefined)
      await door.shutdown('fast')
      for (const engine of engines.values()) await engine.stop('immediate')
      await rm(base, { recursive: true, force: true })
    },
  }
}
