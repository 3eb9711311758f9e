/**
 * One connection of purpose `copy` on the sending side: its backup and its requests.
 *
 * Made by the copy sender when the connection arrives; ends with the connection. Promise: when the connection ends inside a backup, the
 * backup is ended in PostgreSQL too, and only then another copy can begin.
 */
import { BLOCK_BYTES } from '@mirabelle/engine'
import { formatLsn, MirabelleError, type Lsn, type Message, type MessageOf } from '@mirabelle/messages'
import {
  faults,
  type Connection,
  type FileHead,
  type Hello,
  type Responder,
  type Timer,
} from '@mirabelle/runtime'
import { HASH_BYTES, hashBlocks } from './block-hash.ts'
import type { CopyConnection, CopyHost } from './copy-host.ts'
import { beginBackup, endBackup, type OnlineBackupOptions } from './online-backup.ts'
import { CONTROL_FILE, SourceFiles } from './source-files.ts'

/** Most bytes of one `copy.read`, blocks of one `copy.hashes`, and requests that may wait for their answers. */
const MAX_READ_BYTES = 4 * 1024 * 1024
const MAX_HASH_BLOCKS = 8192
const MAX_REQUESTS = 64
/** Most bytes of small files of one request: hashed in one go, about 0.9 ms. */
const MAX_SMALL_BYTES = 1024 * 1024
/** A copy that asks for nothing for so long is over, ms. */
const IDLE_MS = 600_000
/** Not for the copy: our own file of the disk check. */
const OWN_FILES = /(^|\/)fts_probe_file\.bak/
const WAL_PATH = /^pg_wal\/([0-9A-F]{24}|([0-9A-F]{8})\.history)$/
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700

let copies = 0

export class CopySession implements CopyConnection {
  readonly hello: Hello
  /** The backup was ended in good order: the copy is whole. */
  complete = false
  readonly #sender: CopyHost
  readonly #connection: Connection
  readonly #files: SourceFiles
  readonly #paths = new Set<string>()
  #copyId = ''
  #inBackup = false
  #gone = false
  #requests = 0
  #idle: Timer | undefined
  #startedAt = 0
  #sentBytes = 0

  constructor(sender: CopyHost, connection: Connection, hello: Hello) {
    this.#sender = sender
    this.#connection = connection
    this.hello = hello
    this.#files = new SourceFiles(sender.options.disk, sender.options.pgdata)
    this.#watchIdle()
    connection.setHandlers({
      onMessage: (message, respond) => this.#onMessage(message, respond),
      onClose: (reason) => this.#onClose(reason),
    })
  }

  /** Ends the connection; the asker is told why. */
  end(reason: MirabelleError): void {
    this.#connection.close(reason)
  }

  #onMessage(message: Message, respond: Responder | undefined): void {
    this.#watchIdle()
    if (respond === undefined)
      throw new MirabelleError('message.bad', `${message.type} on a connection for a copy`)
    if (this.#requests >= MAX_REQUESTS)
      throw new MirabelleError('queue.full', `${MAX_REQUESTS} requests of a copy wait for their answers`)
    this.#requests++
    this.#answer(message)
      .then(
        (reply) => respond.reply(reply as never),
        (error: unknown) => respond.fail(error),
      )
      .finally(() => {
        this.#requests--
      })
  }

  #answer(
    message: Message,
  ): Promise<
    MessageOf<
      'copy.begun' | 'copy.hashesAre' | 'copy.bytes' | 'copy.fileHashes' | 'copy.files' | 'copy.ended'
    >
  > {
    switch (message.type) {
      case 'copy.begin':
        return this.#begin(message)
      case 'copy.hashes':
        return this.#hashes(message)
      case 'copy.read':
        return this.#read(message)
      case 'copy.hashFiles':
        return this.#hashFiles(message)
      case 'copy.readFiles':
        return this.#readFiles(message)
      case 'copy.end':
        return this.#endCopy(message)
      default:
        return Promise.reject(new MirabelleError('message.bad', `${message.type} on a connection for a copy`))
    }
  }

  async #begin(message: MessageOf<'copy.begin'>): Promise<MessageOf<'copy.begun'>> {
    const { identity, epoch, clock, endLsn, timeline, log, pgdata, list } = this.#sender.options
    if (message.content !== identity.content || message.dbid === identity.dbid)
      throw new MirabelleError(
        'wrong.content',
        `dbid ${message.dbid} of content ${message.content} asks dbid ${identity.dbid} of content ${identity.content} for a copy`,
      )
    if (message.epoch > epoch())
      throw new MirabelleError(
        'epoch.stale',
        `dbid ${message.dbid} has promised epoch ${message.epoch}, dbid ${identity.dbid} knows only ${epoch()}`,
      )
    if (this.#copyId !== '')
      throw new MirabelleError('message.bad', `this connection has begun ${this.#copyId} already`)
    this.#sender.occupy(this)
    this.#copyId = `copy-${identity.dbid}-${++copies}`
    this.#startedAt = clock.monotonic()
    this.#files.prepare()
    // Lower than where the backup will begin: no checkpoint in between can take WAL away from it.
    this.#sender.pin(this, endLsn())
    let startLsn: Lsn
    try {
      startLsn = await beginBackup(this.#backup())
      this.#inBackup = true
    } catch (error) {
      this.#sender.vacate(this)
      this.#copyId = ''
      throw error
    }
    if (this.#gone) {
      this.#abandon()
      throw new MirabelleError('connection.lost', 'the asker has left')
    }
    if (faults !== undefined) await faults.at('copy-source.backup')
    this.#sender.pin(this, startLsn)
    const entries = await (list === undefined ? this.#files.list() : list(pgdata))
    const files = entries.filter((entry) => !OWN_FILES.test(entry.path))
    for (const file of files) if (file.kind === 'file') this.#paths.add(file.path)
    log.info(
      {
        copy: this.#copyId,
        to: message.dbid,
        lsn: formatLsn(startLsn),
        timeline: timeline(),
        files: files.length,
      },
      'an online backup has begun',
    )
    return {
      type: 'copy.begun',
      copyId: this.#copyId,
      startLsn,
      timeline: timeline(),
      files: files.map(({ path, kind, bytes }) =>
        kind === 'folder' ? ([`${path}/`, 0, FOLDER_MODE] as const) : ([path, bytes, FILE_MODE] as const),
      ),
    }
  }

  async #hashes(message: MessageOf<'copy.hashes'>): Promise<MessageOf<'copy.hashesAre'>> {
    this.#check(message)
    if (!this.#paths.has(message.path) || message.blocks > MAX_HASH_BLOCKS) throw notYours(message)
    const hashes = await this.#files.hashes(message.path, message.firstBlock, message.blocks)
    return { type: 'copy.hashesAre', hashes }
  }

  async #read(message: MessageOf<'copy.read'>): Promise<MessageOf<'copy.bytes'>> {
    this.#check(message)
    const { path, offset, length } = message
    const wal = WAL_PATH.exec(path)
    if ((wal === null && !this.#paths.has(path)) || length > MAX_READ_BYTES) throw notYours(message)
    const history = wal?.[2]
    const bytes =
      history === undefined
        ? await this.#files.read(path, offset, length)
        : await this.#history(Number.parseInt(history, 16), offset, length)
    this.#sentBytes += bytes.length
    return { type: 'copy.bytes', bytes }
  }

  async #hashFiles(message: MessageOf<'copy.hashFiles'>): Promise<MessageOf<'copy.fileHashes'>> {
    const files = message.files.map(([path, blocks]) => ({ path, length: blocks * BLOCK_BYTES }))
    const hashes = (await this.#small(message, files)).map(hashBlocks)
    return {
      type: 'copy.fileHashes',
      counts: hashes.map(({ length }) => length / HASH_BYTES),
      hashes: Buffer.concat(hashes),
    }
  }

  async #readFiles(message: MessageOf<'copy.readFiles'>): Promise<MessageOf<'copy.files'>> {
    const files = message.files.map(([path, length]) => ({ path, length }))
    const read = await this.#small(message, files)
    const bytes = Buffer.concat(read)
    this.#sentBytes += bytes.length
    return { type: 'copy.files', lengths: read.map(({ length }) => length), bytes }
  }

  /** The control file is none of them: it is read with care. */
  #small(
    message: { readonly type: string; readonly copyId: string },
    files: readonly FileHead[],
  ): Promise<Uint8Array[]> {
    this.#check(message)
    const odd = files.find(({ path }) => path === CONTROL_FILE || !this.#paths.has(path))
    if (odd !== undefined) throw notYours({ type: message.type, path: odd.path })
    if (files.reduce((sum, { length }) => sum + length, 0) > MAX_SMALL_BYTES)
      throw new MirabelleError('message.bad', `${message.type} asks for more than ${MAX_SMALL_BYTES} bytes`)
    return this.#files.small(files)
  }

  /** A history file may lie among the received WAL of a primary that was a mirror. */
  async #history(timeline: number, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#sender.options.readHistory(timeline)
    return bytes?.subarray(offset, offset + length) ?? new Uint8Array(0)
  }

  async #endCopy(message: MessageOf<'copy.end'>): Promise<MessageOf<'copy.ended'>> {
    this.#check(message)
    if (!this.#inBackup) throw new MirabelleError('message.bad', `${this.#copyId} has been ended already`)
    const { syncWal, timeline, readHistory, log, clock } = this.#sender.options
    this.#inBackup = false
    let end: Awaited<ReturnType<typeof endBackup>>
    try {
      end = await endBackup(this.#backup())
    } catch (error) {
      if (this.#gone) this.#abandon()
      else this.#inBackup = true
      throw error
    }
    this.#sender.vacate(this)
    // A mirror must not have WAL that a crash of this instance could take back.
    await syncWal()
    if (faults !== undefined) await faults.at('copy-source.ended')
    this.complete = true
    const history = await readHistory(timeline())
    log.info(
      {
        copy: this.#copyId,
        to: this.hello.dbid,
        lsn: formatLsn(end.endLsn),
        bytes: this.#sentBytes,
        tookMs: Math.round(clock.monotonic() - this.#startedAt),
      },
      'the online backup has ended',
    )
    return {
      type: 'copy.ended',
      backupLabel: end.label,
      endLsn: end.endLsn,
      timeline: timeline(),
      history: history ?? null,
    }
  }

  #check(message: { readonly type: string; readonly copyId: string }): void {
    if (this.#copyId !== '' && message.copyId === this.#copyId) return
    throw new MirabelleError(
      'message.bad',
      `${message.type} for ${message.copyId}, which is not under way here`,
    )
  }

  #onClose(reason: MirabelleError): void {
    this.#gone = true
    this.#idle?.clear()
    this.#files.close().catch((error: unknown) => {
      this.#sender.options.log.warn({ err: error }, 'closing the files of a copy failed')
    })
    this.#sender.left(this)
    if (!this.#inBackup) return
    this.#sender.options.log.warn(
      { copy: this.#copyId, to: this.hello.dbid, bytes: this.#sentBytes, err: reason },
      'the asker of a copy has left before its end',
    )
    this.#abandon()
  }

  /** Ends the backup in PostgreSQL; nobody can begin another before. */
  #abandon(): void {
    this.#inBackup = false
    const options = { ...this.#backup(), over: () => this.#sender.closed }
    endBackup(options)
      .catch((error: unknown) => {
        // The next backup ends what is left of this one.
        this.#sender.options.log.warn({ err: error, copy: this.#copyId }, 'an online backup was not ended')
      })
      .finally(() => this.#sender.vacate(this))
  }

  #backup(): OnlineBackupOptions {
    const { clock, quietly, identity } = this.#sender.options
    const over = (): boolean => this.#gone || this.#sender.closed
    return { clock, quietly, over, subject: `dbid ${identity.dbid} of content ${identity.content}` }
  }

  #watchIdle(): void {
    const { clock } = this.#sender.options
    this.#idle?.clear()
    this.#idle = clock.setTimer(IDLE_MS, () =>
      this.end(new MirabelleError('timeout', `dbid ${this.hello.dbid} asked for nothing for ${IDLE_MS} ms`)),
    )
  }
}

function notYours(message: { readonly type: string; readonly path: string }): MirabelleError {
  return new MirabelleError(
    'message.bad',
    `${message.type} of ${JSON.stringify(message.path)} asks for more than a copy may`,
  )
}
