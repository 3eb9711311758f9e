/** Makes a value that a field accepts, found from the field's printed type, so that new messages are covered without a list. */
import type { Field } from '../src/index.ts'

const CANDIDATES: readonly unknown[] = [
  1,
  'text',
  true,
  null,
  new Uint8Array([1]),
  [],
  {},
  ...['p', 'm', 's', 'n', 'u', 'd', 'I', 'fast', 'auto', 'template'],
  { addresses: ['127.0.0.1'], port: 1 },
  { dbid: 2, endpoint: { addresses: [], port: 1 } },
  {
    dbid: 2,
    content: 0,
    role: 'p',
    preferredRole: 'p',
    mode: 's',
    status: 'u',
    port: 1,
    hostname: 'h',
    address: '127.0.0.1',
    datadir: '/d',
    endpoint: { addresses: ['127.0.0.1'], port: 1 },
  },
  {
    dbid: 2,
    content: 0,
    role: 'p',
    epoch: 1,
    hostname: 'h',
    datadir: '/d',
    listen: { addresses: ['127.0.0.1'], port: 1 },
    sqlPort: 0,
    peer: null,
    syncRep: null,
    recovery: 'auto',
    copyMaxRate: null,
    settings: {},
  },
]

/** A value of the field's type. Throws when none of the candidates fits: add one. */
export function exampleOf(field: Field<unknown>): unknown {
  const words = [...field.type.matchAll(/`([^`]+)`/g)].map((match) => match[1])
  const found = [...words, ...CANDIDATES].find(
    (candidate) => candidate !== undefined && field.check(candidate),
  )
  if (found === undefined && !field.check(null))
    throw new Error(`no example for a field of type ${field.type}`)
  return found ?? null
}
