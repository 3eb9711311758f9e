/** Error codes of the cluster protocol, and the one error class that carries them. docs/errors.md is generated from the catalogue. */

export interface ErrorEntry {
  /** What it means and what to do next. */
  readonly sentence: string
  /** The same request may succeed later without anyone's help. */
  readonly retryable: boolean
  /** What a client of the PostgreSQL protocol sees, where one can. */
  readonly sqlstate?: string
}

export const errorCatalog = {
  'frame.bad': {
    sentence: 'A frame was too long, empty, truncated or undecodable; the connection is closed.',
    retryable: false,
  },
  'message.bad': {
    sentence: 'A message is unknown or has a field of the wrong shape; the connection is closed.',
    retryable: false,
  },
  'handshake.failed': {
    sentence:
      'The peer could not prove that it holds the cluster key, or speaks another protocol version. Check cluster.key on both hosts.',
    retryable: false,
  },
  'key.unsafe': {
    sentence: 'A file with a key is missing, or others than its owner may read it.',
    retryable: false,
  },
  'cluster.foreign': { sentence: 'The peer belongs to another cluster.', retryable: false },
  'connection.lost': {
    sentence: 'The connection ended before the answer came.',
    retryable: true,
    sqlstate: '08006',
  },
  'connection.silent': {
    sentence: 'Nothing was heard from the peer for longer than the limit.',
    retryable: true,
    sqlstate: '08006',
  },
  'connection.refused': {
    sentence: 'Nobody listens at the address, or it cannot be reached.',
    retryable: true,
    sqlstate: '08001',
  },
  'listen.failed': {
    sentence: 'The address does not exist on this host, or the port is in use by another process.',
    retryable: false,
  },
  timeout: { sentence: 'No answer within the limit.', retryable: true },
  'queue.full': {
    sentence: 'A bounded queue is full; slow down and try again.',
    retryable: true,
    sqlstate: '53000',
  },
  'epoch.stale': {
    sentence:
      'The instance has promised a higher epoch: a standby coordinator was activated. The older coordinator must stop.',
    retryable: false,
  },
  'wrong.content': {
    sentence: 'The message was meant for another instance. Check the port and the catalog row.',
    retryable: false,
  },
  'not.primary': { sentence: 'The instance does not act as primary.', retryable: true },
  'not.mirror': { sentence: 'The instance does not act as mirror.', retryable: true },
  'not.ready': {
    sentence: 'The instance is starting, recovering or stopping.',
    retryable: true,
    sqlstate: '57P03',
  },
  'disk.failed': {
    sentence: 'The disk check of the data directory failed or did not end in time.',
    retryable: true,
  },
  'disk.full': {
    sentence:
      'The disk of a data directory is full. Make room there: an instance that has ended is then brought back by `mirabelle recover` (the standby by `mirabelle standby resync`, the coordinator by `mirabelle start`), all else goes on by itself.',
    retryable: true,
    sqlstate: '53100',
  },
  'wal.removed': {
    sentence:
      'The requested WAL has already been removed: recover the mirror with a differential or full copy.',
    retryable: false,
  },
  'wal.diverged': {
    sentence:
      'The receiver has WAL beyond the point where the timeline forked: recover it with a differential or full copy.',
    retryable: false,
  },
  'wal.ahead': {
    sentence: 'The receiver has more WAL than the sender: the sender is not the newest copy.',
    retryable: false,
  },
  'wal.corrupt': { sentence: 'A WAL record failed its CRC check.', retryable: true },
  'wal.unsynced': {
    sentence:
      'WAL that was received could not be made durable, and a second attempt would prove nothing: what is on the disk is unknown. Recover the mirror with a differential or full copy.',
    retryable: false,
  },
  'wal.rewrite': {
    sentence: 'Bytes came that differ from WAL that was acknowledged before (I5); nothing was overwritten.',
    retryable: false,
  },
  'copy.busy': { sentence: 'Another copy of this primary is under way.', retryable: true },
  'datadir.locked': { sentence: 'Another process runs on the data directory.', retryable: false },
  'datadir.foreign': {
    sentence: 'The data directory belongs to another cluster, content or instance.',
    retryable: false,
  },
  'datadir.broken': {
    sentence: 'The data directory is missing a file or holds one that cannot be read.',
    retryable: false,
  },
  'engine.died': {
    sentence: 'PostgreSQL ended unexpectedly inside the instance.',
    retryable: true,
    sqlstate: '57P01',
  },
  cancelled: { sentence: 'The statement was cancelled.', retryable: false, sqlstate: '57014' },
  'content.unavailable': {
    sentence:
      'No copy of the content can serve now; `mirabelle state` shows it and `mirabelle start` or `mirabelle recover` brings it back.',
    retryable: true,
    sqlstate: '57P01',
  },
  'standby.stale': {
    sentence:
      'The standby coordinator lacks changes that the old coordinator made without it; --force accepts that loss.',
    retryable: false,
  },
  'coordinator.alive': {
    sentence: 'The old coordinator still answers; stop it first, or use --force.',
    retryable: false,
  },
  'setting.invalid': {
    sentence:
      'There is no setting of this name, or the value is outside its range; nothing was changed. `mirabelle config list` shows names and ranges.',
    retryable: false,
    sqlstate: '22023',
  },
  'fault.refused': {
    sentence:
      'What was asked of a fault point cannot be: the process was not started with fault points allowed, or there is no such point. Only tests ask for it.',
    retryable: false,
  },
  'fault.injected': {
    sentence: 'A test made the operation fail at a fault point.',
    retryable: true,
  },
  busy: { sentence: 'The same administrative action is already under way.', retryable: true },
  internal: {
    sentence: 'A broken promise inside the program; the log has the details.',
    retryable: false,
    sqlstate: 'XX000',
  },
} as const satisfies Record<string, ErrorEntry>

/** A code of the catalogue. */
export type ErrorCode = keyof typeof errorCatalog

/** An expected failure of an operation: typed, handled, told to the peer as an `error` message. */
export class MirabelleError extends Error {
  override readonly name = 'MirabelleError'
  readonly code: ErrorCode
  readonly detail: Record<string, unknown> | null

  /** `message` names the subject and its numbers. */
  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; detail?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail ?? null
  }

  /** Whether the same request may succeed later by itself. */
  get retryable(): boolean {
    return errorCatalog[this.code].retryable
  }
}

/** True when `error` is a MirabelleError, of this code if one is given. */
export function isMirabelleError(error: unknown, code?: ErrorCode): error is MirabelleError {
  return error instanceof MirabelleError && (code === undefined || error.code === code)
}
