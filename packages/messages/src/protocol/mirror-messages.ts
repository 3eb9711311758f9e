/** Recovering, adding, moving and removing mirrors, and whole hosts (replication §4). The command line asks, the coordinator and the agents do. */
import type { Content, Dbid, Endpoint, SegmentRow } from '../ids.ts'
import type { Lsn, Timeline } from '../lsn.ts'
import { define } from './define.ts'
import * as f from './field.ts'

const limits = {
  parallel: f.uint('segments that are worked on at a time'),
  maxRate: f.nullable(f.uint('each copy reads at most so many bytes a second; null = no limit')),
  stallMs: f.uint('work that makes no progress for so long is given up'),
}

export const mirrorMessages = {
  'agent.inspect': define(
    'What lies in the folder of an instance, whether it runs or not?',
    'agent.inspected',
    {
      dbid: f.dbid('which'),
      countFrom: f.nullable(f.lsn('count the transactions that its WAL commits from here on; null = do not')),
    },
  ),
  'agent.inspected': define('What the folder holds. Nothing was changed.', null, {
    folder: f.json<FolderFacts | null>('null when the agent does not know the instance'),
  }),
  'agent.discardDiverged': define(
    'Delete the WAL that was put aside because the primary does not have it.',
    'agent.discarded',
    {
      dbid: f.dbid('of which instance'),
    },
  ),
  'agent.discarded': define('It is gone.', null, { bytes: f.uint('so much it was') }),
  'cluster.catalog': define('Who is where, by the catalog?', 'cluster.catalogIs', {}),
  'cluster.catalogIs': define('The catalog of the acting coordinator.', null, {
    rows: f.json<readonly SegmentRow[]>('gp_segment_configuration, with the endpoints'),
    mirroring: f.oneOf(['group', 'spread', 'none'], 'how mirrors are placed'),
  }),
  'mirrors.plan': define('How would these mirrors be made? Nothing is changed.', 'mirrors.planned', {
    mode: f.oneOf(['auto', 'incremental', 'differential', 'full'], 'how those that stay in place come back'),
    moves: f.json<readonly MirrorMove[]>('what is wanted'),
    look: f.bool('find out ways and bytes, too: that takes its time, because WAL has to be read'),
  }),
  'mirrors.planned': define('One step for each move, in the same order.', null, {
    steps: f.json<readonly MirrorStep[]>('places, ways, bytes'),
  }),
  'mirrors.make': define(
    'Carry out these steps, as they were planned. A step that runs already is followed.',
    'cluster.done',
    {
      steps: f.json<readonly MirrorStep[]>('from mirrors.planned'),
      mirroring: f.nullable(
        f.oneOf(['group', 'spread'], 'what the catalog says of the placement afterwards'),
      ),
      ...limits,
    },
  ),
  'mirrors.remove': define('Do away with all mirrors and their folders.', 'cluster.done', {}),
  'cluster.revive': define(
    'Bring contents back that nobody serves, each from its newest copy.',
    'cluster.done',
    {
      acceptDataLoss: f.list(
        f.content('of this one a copy that lacks transactions may take over'),
        'contents',
        16_384,
      ),
      stallMs: f.uint('work that makes no progress for so long is given up'),
      look: f.bool('only say what would be done'),
    },
  ),
  'host.drain': define(
    'Let other hosts act as primary for the segments of this one, by switchovers in which no statement fails.',
    'cluster.done',
    {
      hostname: f.text('which host'),
      laneTimeoutMs: f.uint('how long open transactions of a content may keep its switchover waiting'),
      timeoutMs: f.uint('how long to wait until the pairs are in sync again'),
    },
  ),
  'host.stop': define('Stop the instances of a host, if each has a copy elsewhere.', 'cluster.done', {
    hostname: f.text('which host'),
    mode: f.oneOf(['smart', 'fast', 'immediate'], 'as PostgreSQL'),
    look: f.bool('only say whether it may be stopped: a row for each instance that would be'),
  }),
} as const

/** A place for a mirror; null = the coordinator finds one. */
export interface MirrorPlace {
  readonly hostname: string
  readonly address: string | null
  readonly port: number | null
  readonly datadir: string | null
}

/** What an administrator wants of one content. */
export interface MirrorMove {
  /** `recover`: bring a copy that is down back; `move`: replace a copy that may be up; `add`: the content has one copy only. */
  readonly kind: 'recover' | 'move' | 'add'
  readonly content: Content
  /** The instance that is recovered or moved away; null for `add`. */
  readonly dbid: Dbid | null
  /** null = in place. */
  readonly to: MirrorPlace | null
  /** For this one alone; null = as the whole plan says. */
  readonly mode: 'incremental' | 'differential' | 'full' | null
}

/** How a move is carried out. */
export interface MirrorStep {
  readonly kind: MirrorMove['kind']
  readonly content: Content
  /** `auto`: it could not be found out which way is needed; the instance decides when it starts. */
  readonly mode: 'auto' | 'incremental' | 'differential' | 'full'
  /** The instance whose row goes when the new one is complete; null when none goes. */
  readonly oldDbid: Dbid | null
  readonly oldHost: string | null
  /** The row of the mirror; in place, the one that it has. */
  readonly row: SegmentRow
  readonly source: { readonly dbid: Dbid; readonly hostname: string; readonly port: number } | null
  /** Bytes to be sent: WAL, or at most so much of the base; null when that is not known. */
  readonly bytes: number | null
  /** Its making was begun and interrupted: it is completed. */
  readonly begun: boolean
  /** Why it cannot be done; null when it can. */
  readonly obstacle: string | null
  readonly warning: string | null
}

/** What an agent finds in the folder of an instance. */
export interface FolderFacts {
  readonly dbid: Dbid
  readonly content: Content
  readonly datadir: string
  readonly endpoint: Endpoint
  readonly pid: number | null
  /** PostgreSQL could start on it. */
  readonly hasBase: boolean
  /** A copy was begun and is not complete. */
  readonly copying: 'differential' | 'full' | null
  /** Its data is that of a primary or of a mirror; null before the first start. */
  readonly dataRole: 'p' | 'm' | null
  /** End of its checked WAL; null when it has none, or when it was primary and what it wrote then is not there. */
  readonly wal: {
    readonly timeline: Timeline
    readonly history: readonly { readonly timeline: Timeline; readonly end: Lsn }[]
    readonly startLsn: Lsn
    readonly endLsn: Lsn
    /** Its WAL is damaged before its end. */
    readonly damaged: boolean
  } | null
  /** Size of what a copy of it has to compare or send. */
  readonly baseBytes: number
  /** Size of WAL that was put aside. */
  readonly divergedBytes: number
  /** Transactions that its WAL commits from `countFrom` on; null when that was not asked, or cannot be known. */
  readonly commits: number | null
}
