/** Agents, instances and the command line (architecture §2, replication §4, §5). Purpose `control`. */
import { peer, endpoint } from './common.ts'
import type { Endpoint } from '../ids.ts'
import { define } from './define.ts'
import * as f from './field.ts'

/** How an instance is to run; written to its folder by the agent before it starts. */
const assignment = f.record(
  {
    dbid: f.dbid('the instance'),
    content: f.content('its content'),
    role: f.oneOf(['p', 'm'], 'the role to start in'),
    epoch: f.epoch('of the coordinator that says so'),
    hostname: f.text('its host'),
    datadir: f.text('its folder'),
    listen: endpoint('where it speaks the cluster protocol'),
    sqlPort: f.uint("port of PostgreSQL's protocol (content -1), else 0"),
    peer: f.nullable(peer('the other half of the pair')),
    syncRep: f.nullable(f.bool('start with synchronous replication on or off; null = as it was')),
    recovery: f.oneOf(['auto', 'incremental', 'differential', 'full'], 'what a mirror may do to come back'),
    copyMaxRate: f.nullable(f.uint('a copy reads at most so many bytes a second; null = no limit')),
    settings: f.json<Record<string, string>>('settings that differ from their defaults'),
  },
  'an assignment',
)

/** Where an instance lives: its row of gp_segment_configuration and its endpoint inside the cluster. */
const segmentRow = f.record(
  {
    dbid: f.dbid('the instance'),
    content: f.content('its content'),
    role: f.oneOf(['p', 'm'], 'acting role'),
    preferredRole: f.oneOf(['p', 'm'], 'role by design'),
    mode: f.oneOf(['s', 'n'], 'in sync or not'),
    status: f.oneOf(['u', 'd'], 'up or down'),
    port: f.uint('port of the catalog'),
    hostname: f.text('its host'),
    address: f.text('its address'),
    datadir: f.text('its folder'),
    endpoint: endpoint('where it speaks the cluster protocol'),
  },
  'a row of the catalog',
)

export const instanceMessages = {
  'instance.status': define(
    'How are you? Asked by agents, the coordinator and the command line.',
    'instance.statusIs',
    {},
  ),
  'instance.statusIs': define('The state of one instance.', null, {
    dbid: f.dbid('itself'),
    content: f.content('its content'),
    pid: f.uint('process id'),
    roleState: f.text('state of the role machine'),
    role: f.oneOf(['p', 'm'], 'acting role'),
    epoch: f.epoch('highest epoch promised'),
    timeline: f.timeline('current timeline'),
    flushLsn: f.lsn('end of durable WAL'),
    replayLsn: f.lsn('mirror: replayed'),
    baseLsn: f.lsn('mirror: where its base begins, from which a restart replays; 0 = not known'),
    baseRefreshedAt: f.nullable(
      f.num('mirror: when its base was last refreshed, wall clock, ms; null = not since the process started'),
    ),
    slotLsn: f.lsn('primary: where its slot keeps WAL from, for its mirror; 0 = not known, or a mirror'),
    syncRep: f.bool('commits wait for the mirror'),
    startedAt: f.num('wall clock, ms'),
    rssBytes: f.uint('memory of the process'),
    version: f.text('of the software that it runs'),
    detail: f.text('what it is doing, e.g. progress of a copy; empty when nothing special'),
    copy: f.json<CopyState | null>('the copy of a base that is under way, or null'),
    diskFree: f.nullable(
      f.uint('bytes that can still be written to the disk of its folder; null = not known'),
    ),
    replication: f.json<readonly ReplicationRow[]>('a row per walsender, as pg_stat_replication has it'),
  }),
  'instance.stop': define('End the process in an orderly way.', 'ok', {
    mode: f.oneOf(['smart', 'fast', 'immediate'], 'as PostgreSQL'),
    epoch: f.epoch('of the coordinator, or 0 from the agent of the host'),
  }),
  'instance.assign': define(
    'Your peer or settings have changed. Persisted before the answer. Does not change the role.',
    'ok',
    {
      assignment,
    },
  ),
  'instance.configure': define(
    'These are the settings now. Persisted before the answer; older ones than the instance has change nothing.',
    'ok',
    {
      dbid: f.dbid('who is meant'),
      content: f.content('its content'),
      epoch: f.epoch('of the coordinator'),
      settings: f.json<Record<string, string>>('all that differ from their defaults, and their stamp'),
    },
  ),
  'agent.start': define(
    'Start this instance (adopts it when it runs already in that role).',
    'agent.started',
    { assignment },
  ),
  'agent.started': define('The process exists.', null, { dbid: f.dbid('which'), pid: f.uint('process id') }),
  'agent.prepare': define(
    'This instance is about to be started: make a process ahead, which is no instance before `agent.start`.',
    'ok',
    { dbid: f.dbid('which; nothing happens for the coordinator') },
  ),
  'agent.stop': define('Stop an instance.', 'agent.stopped', {
    dbid: f.dbid('which'),
    mode: f.oneOf(['smart', 'fast', 'immediate'], 'as PostgreSQL; immediate is kill -9'),
  }),
  'agent.stopped': define('It does not run any more.', null, {
    dbid: f.dbid('which'),
    wasRunning: f.bool('it ran'),
  }),
  'agent.fence': define('Make sure that this instance runs no more: kill -9, then answer.', 'agent.stopped', {
    dbid: f.dbid('which'),
    epoch: f.epoch('of the coordinator'),
    reason: f.text('why, for the log'),
  }),
  'agent.create': define('Make the data directory of an instance.', 'ok', {
    assignment,
    clusterId: f.text('cluster'),
    from: f.oneOf(
      ['template', 'empty'],
      'a copy of the template, or an empty folder that the first start fills from the peer',
    ),
  }),
  'agent.remove': define('Delete the folder of an instance that does not run.', 'ok', {
    dbid: f.dbid('which'),
  }),
  'agent.offerPlace': define(
    'Where could a new instance live on your host? Nothing is reserved.',
    'agent.placeOffered',
    {
      folder: f.text('wanted name of its folder'),
      datadir: f.nullable(f.text('the folder that it must be, refused when it holds anything; null = any')),
      ports: f.list(f.nullable(f.uint('a port that would be best, or null')), 'one entry per port', 16),
    },
  ),
  'agent.placeOffered': define('A folder that does not exist and ports that nobody has.', null, {
    datadir: f.text('the folder'),
    ports: f.list(f.uint('a free port'), 'in the order asked for', 16),
  }),
  'agent.status': define('What runs on your host?', 'agent.statusIs', {}),
  'agent.statusIs': define('The instances that an agent knows.', null, {
    hostname: f.text('host'),
    pid: f.uint('process id of the agent'),
    instances: f.json<readonly AgentInstanceRow[]>('a row per instance'),
  }),
  'agent.exited': define(
    'Death certificate: this process is gone for certain. Sent to every coordinator connection.',
    null,
    {
      dbid: f.dbid('which'),
      content: f.content('its content'),
      pid: f.uint('process id that was'),
      code: f.nullable(f.int('exit code')),
      signal: f.nullable(f.text('signal')),
    },
  ),
  'agent.shutdown': define('Stop all instances of the host and end.', 'ok', {
    mode: f.oneOf(['smart', 'fast', 'immediate'], 'as PostgreSQL'),
  }),
  'cluster.state': define('The whole state, for `mirabelle state`.', 'cluster.stateIs', {}),
  'cluster.stateIs': define('The state of the cluster.', null, {
    state: f.json<ClusterState>('see ClusterState'),
  }),
  'cluster.start': define('Start every instance that the catalog says is up.', 'cluster.done', {}),
  'cluster.stop': define(
    'Stop the cluster: segments first, the standby, then the coordinator itself.',
    'ok',
    {
      mode: f.oneOf(['smart', 'fast', 'immediate'], 'as PostgreSQL'),
    },
  ),
  'cluster.rebalance': define(
    'Give pairs their preferred roles back, by a switchover in which no statement fails (Greenplum: gprecoverseg -r).',
    'cluster.done',
    {
      laneTimeoutMs: f.uint('how long open transactions of a content may keep its switchover waiting'),
      timeoutMs: f.uint('how long to wait until the pairs are in sync again'),
    },
  ),
  'cluster.config': define(
    'Change settings, and say what all of them are. A change is durable in the catalog before any instance hears of it.',
    'cluster.configIs',
    {
      change: f.json<Record<string, string | null>>('values by name; null = back to the default'),
    },
  ),
  'cluster.configIs': define('The settings.', null, {
    settings: f.json<readonly SettingRow[]>('a row per setting'),
    results: f.json<readonly ActionResult[]>('after a change: a row per instance that should have it now'),
  }),
  'cluster.probe': define('Run an FTS cycle now and wait for it.', 'ok', {}),
  'cluster.done': define('How an administrative action went, per instance.', null, {
    results: f.json<readonly ActionResult[]>('a row per instance'),
  }),
  'standby.plan': define('Where would a new standby coordinator be?', 'standby.planned', {
    host: f.nullable(f.text('the host that it is to be on, or null')),
    port: f.nullable(f.uint('the port for clients that it must have, or null')),
    datadir: f.nullable(f.text('the folder that it must have, or null')),
    aboveDbid: f.dbid('the highest dbid that was ever given away, as far as the asker knows'),
    before: f.list(
      f.record(
        {
          hostname: f.text('host'),
          sqlPort: f.uint("port of PostgreSQL's protocol"),
          port: f.uint('port of the cluster protocol'),
        },
        'a place',
      ),
      'where instances of content -1 were, the best place first',
      16,
    ),
  }),
  'standby.planned': define('The row that the standby would have. Nothing has been changed.', null, {
    row: segmentRow,
    begun: f.bool('its making has begun and is not complete'),
  }),
  'standby.init': define(
    'Make this standby coordinator and wait until it has all of the WAL; or complete what was begun.',
    'cluster.done',
    {
      row: segmentRow,
    },
  ),
  'standby.remove': define('Do away with the standby coordinator and its folder.', 'cluster.done', {}),
  'standby.resync': define(
    'Bring the standby coordinator back by WAL or by a copy, while the coordinator serves (HAWQ: init standby -n).',
    'cluster.done',
    { mode: f.oneOf(['auto', 'incremental', 'differential', 'full'], 'how') },
  ),
  'standby.activate': define('Sent to the standby coordinator: take over.', 'standby.activated', {
    force: f.bool('even if the old coordinator answers or the standby is known to be behind'),
  }),
  'standby.activated': define('It accepts clients.', null, {
    epoch: f.epoch('new epoch'),
    timeline: f.timeline('new timeline'),
    port: f.uint('SQL port'),
    elapsedMs: f.uint('how long it took'),
  }),
} as const

/** One row of gp_stat_replication without its gp_segment_id. */
export interface ReplicationRow {
  readonly pid: number
  readonly dbid: number
  readonly clientAddr: string
  readonly clientPort: number
  readonly backendStart: number
  readonly state: 'startup' | 'catchup' | 'streaming' | 'backup'
  readonly sentLsn: number
  readonly writeLsn: number
  readonly flushLsn: number
  readonly replayLsn: number
  readonly writeLagMs: number | null
  readonly flushLagMs: number | null
  readonly replayLagMs: number | null
  readonly syncState: 'sync' | 'async'
  readonly replyTime: number
}

/** One instance as its agent sees it. */
export interface AgentInstanceRow {
  readonly dbid: number
  readonly content: number
  readonly pid: number | null
  readonly state: string
  readonly datadir: string
  /** Why its last process ended, in its own words; null when it did not fail. */
  readonly lastError: string | null
  /** The highest epoch that it has promised to obey, from its folder; null before its first start. */
  readonly promisedEpoch: number | null
  /** The role that its data is in, from its folder; null before its first start. */
  readonly dataRole: 'p' | 'm' | null
  /** Where it speaks the cluster protocol, by its last assignment. */
  readonly endpoint: Endpoint
  /** It ran when the agent before this one ended, and does not run now: whoever rules says whether and how it is to run. */
  readonly waiting: boolean
}

/** A copy of a base that is under way. */
export interface CopyState {
  readonly mode: 'differential' | 'full'
  readonly step: string
  readonly bytesDone: number
  /** 0 until the files are listed. */
  readonly bytesTotal: number
  /** Wall clock, ms. */
  readonly startedAt: number
}

/** One row of `mirabelle state`. LSNs are formatted; null = could not be asked. */
export interface InstanceStateRow {
  readonly dbid: number
  readonly content: number
  readonly role: 'p' | 'm'
  readonly preferred_role: 'p' | 'm'
  readonly mode: 's' | 'n'
  readonly status: 'u' | 'd'
  readonly host: string
  readonly address: string
  readonly port: number
  readonly datadir: string
  readonly pid: number | null
  readonly state: string | null
  readonly timeline: number | null
  readonly lsn: string | null
  readonly replay_lsn: string | null
  /** WAL that a restart of a mirror replays, bytes: from its base to the end of what it has. */
  readonly wal_since_base: number | null
  /** When a mirror last refreshed its base, wall clock, ms; null = not since its process started. */
  readonly base_refreshed_at: number | null
  /** WAL that a primary keeps for its mirror (replication slot), bytes. */
  readonly wal_kept: number | null
  /** Bytes that can still be written to the disk of its folder. */
  readonly disk_free: number | null
  readonly sync_rep: boolean | null
  readonly rss_bytes: number | null
  readonly uptime_s: number | null
  readonly version: string | null
  readonly detail: string
  /** The copy of its base that is under way. */
  readonly copy: CopyState | null
  readonly replication: ReplicationRow | null
}

/** What `mirabelle state --json` prints. */
export interface ClusterState {
  readonly cluster: {
    readonly id: string
    readonly version: string
    readonly epoch: number
    readonly host: string
    readonly port: number
    readonly mirroring: 'group' | 'spread' | 'none'
    readonly inDoubt: number
    readonly inDoubtGids: readonly string[]
    readonly standby: 'none' | 'streaming' | 'catchup' | 'down'
    readonly healthy: boolean
    readonly problems: readonly string[]
  }
  readonly instances: readonly InstanceStateRow[]
}

/** One row of `mirabelle config list`. Values as SHOW prints them. */
export interface SettingRow {
  readonly name: string
  readonly value: string
  readonly default: string
  /** What it may be, in words. */
  readonly range: string
  /** Where the value comes from. */
  readonly source: 'default' | 'changed'
  /** A change takes effect without a restart. */
  readonly reload: boolean
  readonly description: string
}

/** Result of an administrative action for one instance. */
export interface ActionResult {
  readonly dbid: number
  readonly content: number
  readonly outcome: 'done' | 'skipped' | 'failed'
  readonly message: string
}
