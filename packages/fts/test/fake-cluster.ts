/** A catalog in memory and instances that answer as a test says; writes down all that FTS does, in order. */
import {
  MirabelleError,
  defaultSettings,
  type ErrorCode,
  type SegmentRow,
  type Settings,
} from '@mirabelle/messages'
import type { Logger } from '@mirabelle/runtime'
import { createFtsProber, type FtsProber, type FtsReply } from '../src/index.ts'
import { SimulatedClock } from './simulated-clock.ts'

/** What an instance says: an answer, a refusal, silence, or recovery that goes on. */
export type Behaviour =
  Partial<FtsReply> | ErrorCode | 'silent' | (() => Partial<FtsReply> | ErrorCode | 'silent')

export const healthy: Partial<FtsReply> = { isMirrorUp: true, isInSync: true, isSyncRepEnabled: true }
export const refused: ErrorCode = 'connection.refused'

const blank: FtsReply = {
  type: 'fts.probed',
  isMirrorUp: false,
  isInSync: false,
  isSyncRepEnabled: false,
  isRoleMirror: false,
  requestRetry: false,
  recovering: false,
  replayLsn: 0,
  flushLsn: 0,
  timeline: 1,
  roleState: 'primary',
}

export function reply(part: Partial<FtsReply> = {}): FtsReply {
  return { ...blank, ...part }
}

export function row(part: Partial<SegmentRow> & Pick<SegmentRow, 'dbid' | 'content'>): SegmentRow {
  const port = 7000 + part.dbid
  return {
    role: 'p',
    preferredRole: part.role ?? 'p',
    mode: 's',
    status: 'u',
    port,
    hostname: 'h',
    address: '127.0.0.1',
    datadir: `/d${part.dbid}`,
    endpoint: { addresses: ['127.0.0.1'], port },
    ...part,
  }
}

/** Content 0 = dbids 2 and 12, content 1 = dbids 3 and 13, …; all in sync; and the coordinator, which FTS must not touch. */
export function pairs(count: number, part: Partial<SegmentRow> = {}): SegmentRow[] {
  const contents = Array.from({ length: count }, (_, content) => content)
  return [
    row({ dbid: 1, content: -1, mode: 'n' }),
    ...contents.map((content) => row({ dbid: 2 + content, content, ...part })),
    ...contents.map((content) => row({ dbid: 12 + content, content, ...part, role: 'm' })),
  ]
}

export interface FakeCluster {
  readonly clock: SimulatedClock
  readonly prober: FtsProber
  /** All that FTS did, e.g. `probe 2`, `record 2:p/d/n …`, `promote 12`. Times are not in it. */
  readonly did: string[]
  readonly rows: SegmentRow[]
  readonly history: string[]
  readonly logged: string[]
  /** Behaviour by dbid; instances not named refuse. */
  readonly instances: Map<number, Behaviour>
  readonly onPromote: Map<number, Behaviour>
  readonly onSyncRepOff: Map<number, Behaviour>
  settings: Settings
  /** Set to make record() fail, or wait. */
  recordWith: (() => Promise<void>) | null
  fenceWith: (() => Promise<void>) | null
  /** `did` since the last call, without probes. */
  acts(): string[]
}

export function fakeCluster(rows: SegmentRow[], options: { recoveryStallMs?: number } = {}): FakeCluster {
  const clock = new SimulatedClock()
  const instances = new Map<number, Behaviour>()
  const onPromote = new Map<number, Behaviour>()
  const onSyncRepOff = new Map<number, Behaviour>()
  for (const { dbid, role } of rows) instances.set(dbid, role === 'p' ? healthy : { isRoleMirror: true })
  const did: string[] = []
  const history: string[] = []
  const logged: string[] = []
  let seen = 0

  const ask = (dbid: number, behaviour: Behaviour | undefined, timeoutMs: number): Promise<FtsReply> => {
    const now = typeof behaviour === 'function' ? behaviour() : (behaviour ?? refused)
    if (now === 'silent') {
      return new Promise((_, reject) => {
        clock.setTimer(timeoutMs, () => reject(new MirabelleError('timeout', `dbid ${dbid}`)))
      })
    }
    return typeof now === 'string'
      ? Promise.reject(new MirabelleError(now, `dbid ${dbid}`))
      : Promise.resolve(reply(now))
  }

  const log: Logger = {
    debug: () => {},
    info: (_, sentence) => logged.push(sentence),
    warn: (_, sentence) => logged.push(sentence),
    error: (_, sentence) => logged.push(sentence),
    child: () => log,
  }

  const cluster: FakeCluster = {
    clock,
    did,
    rows,
    history,
    logged,
    instances,
    onPromote,
    onSyncRepOff,
    settings: defaultSettings,
    recordWith: null,
    fenceWith: null,
    acts() {
      const acts = did.slice(seen).filter((act) => !act.startsWith('probe'))
      seen = did.length
      return acts
    },
    prober: createFtsProber({
      ports: { clock, log },
      catalog: {
        rows: () => rows,
        async record(changes, texts) {
          const what = changes.map((c) => ` ${c.dbid}:${c.role}/${c.status}/${c.mode}`).join('')
          did.push(`record${what === '' ? ` ${texts.map(({ description }) => description).join()}` : what}`)
          await cluster.recordWith?.()
          for (const change of changes) {
            const index = rows.findIndex(({ dbid }) => dbid === change.dbid)
            rows[index] = { ...(rows[index] as SegmentRow), ...change }
          }
          history.push(...texts.map(({ description }) => description))
          did.push('recorded')
        },
      },
      transport: {
        async probe({ dbid }, timeoutMs) {
          did.push(`probe ${dbid}`)
          return ask(dbid, instances.get(dbid), timeoutMs)
        },
        async promote({ dbid }, timeoutMs) {
          did.push(`promote ${dbid}`)
          // A living mirror does as it is told, unless the test says otherwise.
          if (!onPromote.has(dbid) && typeof instances.get(dbid) === 'object') instances.set(dbid, {})
          return ask(dbid, onPromote.get(dbid) ?? instances.get(dbid), timeoutMs)
        },
        async syncRepOff({ dbid }, timeoutMs) {
          did.push(`syncRepOff ${dbid}`)
          return ask(dbid, onSyncRepOff.get(dbid) ?? instances.get(dbid), timeoutMs)
        },
        async fence({ dbid }) {
          did.push(`fence ${dbid}`)
          await cluster.fenceWith?.()
        },
      },
      settings: () => cluster.settings,
      onTopologyChange: (content) => did.push(`topology ${content}`),
      onShutdownNeeded: (content) => did.push(`shutdown ${content}`),
      onSuperseded: () => did.push('superseded'),
      ...options,
    }),
  }
  return cluster
}

/** Starts the prober, lets the first cycles pass, and forgets what was done. */
export async function started(cluster: FakeCluster): Promise<FakeCluster> {
  cluster.prober.start()
  await cluster.clock.advance(1)
  cluster.acts()
  return cluster
}

/** role/status/mode of the rows of content ≥ 0 by dbid. */
export function catalogOf({ rows }: FakeCluster): string {
  return rows
    .filter(({ content }) => content >= 0)
    .map(({ dbid, role, status, mode }) => `${dbid}:${role}/${status}/${mode}`)
    .join(' ')
}
