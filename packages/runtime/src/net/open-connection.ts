/**
 * Connects to an endpoint: its addresses in order, each given a head start before the next one is tried beside it. The first
 * that completes the handshake wins, the others are dropped. Ends with a connection or the most telling error in the time given.
 */
import { MirabelleError } from '@mirabelle/messages'
import type { Endpoint, ErrorCode } from '@mirabelle/messages'
import type { Timer } from '../ports/clock.ts'
import type { Connection, ConnectOptions, Hello } from '../ports/network.ts'
import type { NetworkContext } from './network-context.ts'
import { dial } from './dial.ts'
import type { Attempt } from './dial.ts'

/** Longest head start of an address. */
const MAX_HEAD_START_MS = 250
/** Which of several failures is told: a refusal with a code of the peer's own (not listed) first, then what needs a person. */
const TELLING: readonly ErrorCode[] = [
  'cluster.foreign',
  'handshake.failed',
  'frame.bad',
  'timeout',
  'connection.refused',
]

/** See `Network.connect`. */
export function openConnection(
  context: NetworkContext,
  endpoint: Endpoint,
  hello: Hello,
  options: ConnectOptions,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const { clock } = context
    const waiting = [...endpoint.addresses]
    const attempts = new Set<Attempt>()
    const failures: MirabelleError[] = []
    const headStartMs = Math.min(MAX_HEAD_START_MS, options.timeoutMs / (endpoint.addresses.length + 1))
    let next: Timer | undefined
    const where = `${endpoint.addresses.join(', ')} port ${endpoint.port}`
    const finish = (): void => {
      next?.clear()
      deadline.clear()
      for (const attempt of attempts) attempt.abandon()
      attempts.clear()
    }
    const beganAt = clock.monotonic()
    let limitMs = options.timeoutMs
    const arm = (): Timer =>
      clock.setTimer(Math.max(0, beganAt + limitMs - clock.monotonic()), () => {
        finish()
        reject(new MirabelleError('timeout', `no connection to ${where} within ${limitMs} ms`))
      })
    let deadline = arm()
    const tryNext = (): void => {
      next?.clear()
      const address = waiting.shift()
      if (address === undefined) {
        if (attempts.size > 0) return
        finish()
        reject(mostTelling(failures, where))
        return
      }
      const attempt = dial(context, address, endpoint.port, hello, options.silenceTimeoutMs, {
        reached() {
          const { reachedTimeoutMs = 0 } = options
          if (reachedTimeoutMs <= limitMs || !attempts.has(attempt)) return
          limitMs = reachedTimeoutMs
          deadline.clear()
          deadline = arm()
        },
        connected(connection) {
          attempts.delete(attempt)
          finish()
          resolve(connection)
        },
        failed(error) {
          attempts.delete(attempt)
          failures.push(error)
          tryNext()
        },
      })
      attempts.add(attempt)
      if (waiting.length > 0) next = clock.setTimer(headStartMs, tryNext)
    }
    tryNext()
  })
}

function mostTelling(failures: readonly MirabelleError[], where: string): MirabelleError {
  const rank = (error: MirabelleError): number => TELLING.indexOf(error.code)
  const [first] = [...failures].sort((a, b) => rank(a) - rank(b))
  return first ?? new MirabelleError('connection.refused', `no address to connect to: ${where}`)
}
