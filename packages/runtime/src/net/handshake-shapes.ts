/** Checks what a peer says of itself in the handshake. */
import { MirabelleError } from '@mirabelle/messages'
import type { Hello, Party } from '../ports/network.ts'

const KINDS = ['instance', 'agent', 'cli']
const PURPOSES = ['control', 'wal', 'dispatch', 'copy']

const isName = (value: unknown): boolean => typeof value === 'string' && value.length <= 255
const isInt = (value: unknown, least: number): boolean =>
  Number.isSafeInteger(value) && (value as number) >= least

/** Returns the party in a decoded value, and nothing else of it. Throws `handshake.failed`. */
export function asParty(value: unknown): Party {
  const party = (typeof value === 'object' && value !== null ? value : {}) as Party
  const { clusterId, kind, dbid, content, name } = party
  const right =
    isName(clusterId) && KINDS.includes(kind) && isInt(dbid, 0) && isInt(content, -1) && isName(name)
  if (!right) throw new MirabelleError('handshake.failed', 'the peer does not say who it is')
  return { clusterId, kind, dbid, content, name }
}

/** Returns the hello in a decoded value. Throws `handshake.failed`. */
export function asHello(value: unknown): Hello {
  const party = asParty(value)
  const { purpose, epoch } = value as Hello
  if (!PURPOSES.includes(purpose) || !isInt(epoch, 0))
    throw new MirabelleError('handshake.failed', `${party.name} does not say what it wants`)
  return { ...party, purpose, epoch }
}
