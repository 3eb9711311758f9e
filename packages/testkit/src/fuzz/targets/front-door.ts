/**
 * The front door over sockets in memory: startup, cancel, SCRAM, messages to a session that reads each one. Nobody gets in as a user with a
 * password unless the right proof was among what was sent; each session is closed once; nothing is left of a connection that has ended.
 */
import {
  createFrontDoor,
  errorResponse,
  Frontend,
  PgError,
  readBind,
  readClose,
  readCopyFail,
  readDescribe,
  readEmpty,
  readExecute,
  readParse,
  readQuery,
  readyForQuery,
  type FrontDoor,
  type FrontendMessage,
} from '@mirabelle/pgwire'
import { promise, type FuzzTarget } from '../fuzz-target.ts'
import { chopped } from '../mutate.ts'
import { drawDialog } from './draw-dialog.ts'
import { MemorySocket, play } from './memory-socket.ts'
import { clientFinal, clientFirst, USERS, verifierOf } from './scram-client.ts'

/** What the door's source of randomness gives, as text. */
const SERVER_NONCE = Buffer.alloc(18, 1).toString('base64')
const RIGHT_PROOF = clientFinal(USERS.guarded, clientFirst('client'), `client${SERVER_NONCE}`)

let opened: FrontDoor | undefined
const seen = { opened: [] as string[], closed: 0 }

export const frontDoor: FuzzTarget = {
  name: 'front-door',
  what: "PostgreSQL's protocol from a client's first byte: startup, cancel, SCRAM, simple and extended queries, COPY",
  async open() {
    const quiet = (): void => undefined
    opened = await createFrontDoor({
      listen: { host: '127.0.0.1', port: 0 },
      logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      randomBytes: (count) => Buffer.alloc(count, 1),
      limits: { lingerMs: 5_000, maxMessageBytes: 100_000 },
      authenticate: ({ user }) =>
        user === 'trusted'
          ? { method: 'trust' }
          : { method: 'scram', verifier: user === 'guarded' ? verifierOf(USERS.guarded) : undefined },
      sessionFactory: (connection) => {
        seen.opened.push(connection.user)
        return {
          session: {
            handle(message) {
              connection.send(answer(message))
            },
            cancel: () => undefined,
            close: () => void seen.closed++,
          },
          parameters: { server_version: '18.0' },
        }
      },
    })
  },
  async close() {
    await opened?.close()
    opened = undefined
  },
  draw: (random) => chopped(random, Buffer.concat(drawDialog(random, SERVER_NONCE).messages)),
  async run(input) {
    if (opened === undefined) throw new Error('the door is not open')
    seen.opened = []
    seen.closed = 0
    const [ours, theirs] = MemorySocket.pair('127.0.0.1', true)
    opened.serve(ours.asSocket)
    await play(theirs, input)
    if (!ours.closed) await new Promise((resolve) => ours.once('close', resolve))
    // What is told on close is told in this turn and in the microtasks behind it.
    await new Promise((resolve) => setImmediate(resolve))
    const { sessions, unauthenticated } = opened.stats()
    promise(
      sessions + unauthenticated === 0,
      () => `${sessions} sessions, ${unauthenticated} logins are left over`,
    )
    promise(
      seen.opened.length === seen.closed && seen.closed <= 1,
      () => `${seen.opened.length} sessions were opened, ${seen.closed} closed`,
    )
    promise(
      seen.opened.every((user) => user === 'trusted' || user === 'guarded'),
      () => `a user without a password came in: ${seen.opened.join()}`,
    )
    if (seen.opened[0] === 'guarded')
      promise(Buffer.concat(input).includes(RIGHT_PROOF), () => 'a user came in without the right proof')
  },
}

/** Reads the message as a session does; what is wrong with it is told to the client, or ends the connection. */
function answer(message: FrontendMessage): Buffer {
  try {
    switch (message.type) {
      case Frontend.query:
        readQuery(message)
        break
      case Frontend.parse:
        readParse(message)
        break
      case Frontend.bind:
        readBind(message)
        break
      case Frontend.describe:
        readDescribe(message)
        break
      case Frontend.close:
        readClose(message)
        break
      case Frontend.execute:
        readExecute(message)
        break
      case Frontend.copyFail:
        readCopyFail(message)
        break
      case Frontend.sync:
        readEmpty(message)
        break
    }
  } catch (error) {
    if (error instanceof PgError && error.severity !== 'FATAL') return errorResponse(error.fields)
    throw error
  }
  return readyForQuery('I')
}
