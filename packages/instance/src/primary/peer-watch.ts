/**
 * A primary whose mirror is gone asks the other half of the pair whether *it* has become primary (replication §1, I4): a process that was
 * stopped or cut off for a while learns so, within a second of waking up, that it has been replaced, and fences itself.
 *
 * Started with the primary side, ended with it; asks only while no stream of the mirror is there, and is told by `changed` that one may be gone.
 */
import { MirabelleError, type Peer, type Timeline } from '@mirabelle/messages'
import type { Clock, Hello, Logger, Network, Timer } from '@mirabelle/runtime'

const INTERVAL_MS = 1_000
const TIMEOUT_MS = 2_000

export interface PeerWatchOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly network: Network
  readonly hello: () => Hello
  readonly peer: () => Peer | null
  readonly timeline: () => Timeline
  /** True while a stream of the mirror is there: then nobody needs to be asked. */
  readonly mirrorConnected: () => boolean
  /** The peer is primary on a newer timeline. */
  readonly onReplaced: (reason: MirabelleError) => void
}

export class PeerWatch {
  readonly #options: PeerWatchOptions
  #timer: Timer | undefined
  #stopped = false

  constructor(options: PeerWatchOptions) {
    this.#options = options
    this.changed()
  }

  /** A stream, or who the peer is, has changed. */
  changed(): void {
    if (this.#timer === undefined && this.#mustAsk()) this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.clear()
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimer(INTERVAL_MS, () => {
      const peer = this.#options.peer()
      if (peer === null || this.#options.mirrorConnected()) this.#timer = undefined
      else void this.#look(peer).finally(() => this.#schedule())
    })
  }

  #mustAsk(): boolean {
    return this.#options.peer() !== null && !this.#options.mirrorConnected()
  }

  async #look(peer: Peer): Promise<void> {
    const hello = this.#options.hello()
    try {
      const connection = await this.#options.network.connect(peer.endpoint, hello, {
        timeoutMs: TIMEOUT_MS,
        silenceTimeoutMs: 0,
      })
      connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
      try {
        const answer = await connection.request(
          { type: 'wal.identify', dbid: hello.dbid, content: hello.content },
          TIMEOUT_MS,
        )
        if (answer.dbid !== peer.dbid || answer.content !== hello.content || !answer.isPrimary) return
        if (this.#stopped || answer.timeline <= this.#options.timeline()) return
        this.#options.onReplaced(
          new MirabelleError(
            'not.primary',
            `dbid ${peer.dbid} is primary of content ${hello.content} on timeline ${answer.timeline}; dbid ${hello.dbid} was on timeline ${this.#options.timeline()}`,
          ),
        )
      } finally {
        connection.close()
      }
    } catch (error) {
      this.#options.log.debug({ err: error }, 'the peer could not be asked for its role: nothing is learned')
    }
  }
}
