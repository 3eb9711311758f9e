/**
 * The dialog from the first byte of a connection to an authenticated client: encryption, startup, authentication.
 *
 * Started by a connection; ends with a `LoggedIn`, with `undefined` after a cancel request, or with a throw: a `PgError`
 * that the client is told, or whatever `DialogIo` throws when the client is gone. Knows no socket.
 */
import { ScramExchange, SCRAM_SHA_256 } from '../auth/scram-exchange.ts'
import { mockVerifier, parseScramVerifier } from '../auth/scram-verifier.ts'
import {
  authenticationOk,
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
  negotiateProtocolVersion,
} from '../codec/backend-encode.ts'
import { readSaslInitialResponse, readSaslResponse } from '../codec/frontend-decode.ts'
import type { FrontendMessage } from '../codec/frontend-parser.ts'
import { readStartupPacket, type StartupRequest } from '../codec/startup-packet.ts'
import { Frontend } from '../codec/message-types.ts'
import { pgwireError, protocolViolation, type PgError } from '../errors.ts'
import type { Admit, Authenticate, LoginRequest, Peer } from './front-door-types.ts'

/** What the dialog needs of its connection. */
export interface DialogIo {
  readonly peer: Peer
  nextStartup(): Promise<Buffer>
  /** The next message behind the startup packet; a throw if the client is gone. */
  nextMessage(): Promise<FrontendMessage>
  send(bytes: Uint8Array): void
  /** Answers S and encrypts; `undefined` if the door has no certificate. Throws if bytes came before their time. */
  readonly startTls: (() => Promise<void>) | undefined
}

export interface LoginPolicy {
  readonly authenticate: Authenticate
  readonly admit: Admit
  /** The error for every startup, while there is one. */
  notReady(): PgError | undefined
  cancel(pid: number, secret: Uint8Array): void
  readonly randomBytes: (count: number) => Buffer
  readonly mockSecret: Uint8Array
}

export interface LoggedIn {
  readonly request: LoginRequest
  readonly protocolMinor: number
}

const NO = Buffer.from('N')
const NONCE_BYTES = 18

export async function login(io: DialogIo, policy: LoginPolicy): Promise<LoggedIn | undefined> {
  const startup = await readStartup(io, policy)
  if (startup === undefined) return undefined
  const notReady = policy.notReady()
  if (notReady !== undefined) throw notReady
  const request = loginRequest(startup, io.peer)
  if (startup.negotiate) io.send(negotiateProtocolVersion(startup.minor, startup.unknownOptions))
  await authenticateClient(io, policy, request)
  const refused = await policy.admit(request)
  if (refused !== undefined) throw refused
  // The state may have changed while a password was awaited.
  const stopped = policy.notReady()
  if (stopped !== undefined) throw stopped
  io.send(authenticationOk())
  return { request, protocolMinor: startup.minor }
}

/** Answers requests for encryption, each kind at most once, until the startup packet itself comes. */
async function readStartup(io: DialogIo, policy: LoginPolicy): Promise<StartupRequest | undefined> {
  let sslAsked = false
  let gssencAsked = false
  for (;;) {
    const packet = readStartupPacket(await io.nextStartup())
    switch (packet.kind) {
      case 'ssl':
        if (sslAsked) throw protocolViolation('a second SSLRequest came on the same connection')
        sslAsked = true
        if (io.startTls === undefined) io.send(NO)
        else await io.startTls()
        break
      case 'gssenc':
        if (gssencAsked) throw protocolViolation('a second GSSENCRequest came on the same connection')
        gssencAsked = true
        io.send(NO)
        break
      case 'cancel':
        policy.cancel(packet.pid, packet.secret)
        return undefined
      case 'startup':
        return packet
    }
  }
}

const FALSE_WORDS: ReadonlySet<string> = new Set(['false', 'off', 'no', '0', 'f', 'n'])

function loginRequest({ parameters }: StartupRequest, peer: Peer): LoginRequest {
  const user = parameters.get('user') ?? ''
  if (user === '') {
    throw pgwireError('invalidAuthorization', 'no PostgreSQL user name specified in startup packet')
  }
  const replication = parameters.get('replication')
  if (replication !== undefined && !FALSE_WORDS.has(replication.toLowerCase())) {
    throw pgwireError('unsupportedProtocol', 'replication connections are not supported', {
      detail: `The startup packet has replication=${replication}.`,
      hint: 'Mirrors are fed by the cluster itself. Connect without the replication parameter.',
    })
  }
  return { user, database: parameters.get('database') || user, peer, parameters }
}

async function authenticateClient(io: DialogIo, policy: LoginPolicy, request: LoginRequest): Promise<void> {
  const decision = await policy.authenticate(request)
  switch (decision.method) {
    case 'trust':
      return
    case 'reject':
      throw pgwireError(
        'invalidAuthorization',
        decision.message ??
          `no entry lets user "${request.user}" in from host "${request.peer.address}", ` +
            (request.peer.encrypted ? 'SSL encryption' : 'no encryption'),
        decision.hint === undefined ? {} : { hint: decision.hint },
      )
    case 'scram':
      return authenticateByScram(io, policy, request.user, decision.verifier)
  }
}

async function authenticateByScram(
  io: DialogIo,
  policy: LoginPolicy,
  user: string,
  verifierText: string | undefined,
): Promise<void> {
  const verifier = verifierText === undefined ? undefined : parseScramVerifier(verifierText)
  const exchange = new ScramExchange(
    verifier ?? mockVerifier(user, policy.mockSecret),
    verifier === undefined,
    policy.randomBytes(NONCE_BYTES).toString('base64'),
  )
  io.send(authenticationSasl([SCRAM_SHA_256]))
  const initial = readSaslInitialResponse(await nextPassword(io))
  if (initial.mechanism !== SCRAM_SHA_256) {
    throw protocolViolation('client selected an invalid SASL authentication mechanism')
  }
  let clientFirst = initial.response
  if (clientFirst === null) {
    io.send(authenticationSaslContinue(''))
    clientFirst = readSaslResponse(await nextPassword(io))
  }
  io.send(authenticationSaslContinue(exchange.begin(clientFirst.toString('utf8'))))
  const outcome = exchange.finish(readSaslResponse(await nextPassword(io)).toString('utf8'))
  if (!outcome.ok) throw pgwireError('invalidPassword', `password authentication failed for user "${user}"`)
  io.send(authenticationSaslFinal(outcome.serverFinal))
}

async function nextPassword(io: DialogIo): Promise<FrontendMessage> {
  const message = await io.nextMessage()
  if (message.type !== Frontend.password) throw protocolViolation('the client ended the authentication')
  return message
}
