/**
 * What may be asked of an instance in each state of its role. What FTS, the coordinator, agents and mirrors can ask is a row here, so
 * that no request is ever answered by accident: it is accepted, or refused with a typed error that says what is so instead.
 */
import { MirabelleError, type ErrorCode, type Role } from '@mirabelle/messages'
import type { RoleState } from './instance-role.machine.ts'

/** The requests that depend on the role. */
export type RoleRequest =
  | 'fts.probe'
  | 'segment.promote'
  | 'segment.syncRepOff'
  | 'epoch.promise'
  | 'standby.mark'
  | 'dispatch.open'
  | 'dispatch.settled'
  | 'wal.identify'
  | 'wal.start'
  | 'copy.begin'
  | 'instance.status'
  | 'instance.stop'
  | 'instance.assign'
  | 'instance.configure'

type Verdict = 'yes' | ErrorCode
type Row = { readonly [S in RoleState]: Verdict }

/** Yes while the process lives: nothing about it depends on the role. */
const ALWAYS: Row = {
  starting: 'yes',
  primary: 'yes',
  mirror: 'yes',
  promoting: 'yes',
  copying: 'yes',
  unfit: 'yes',
  fenced: 'yes',
  stopping: 'yes',
  stopped: 'yes',
  failed: 'yes',
}
/** Promises are kept in every state in which the disk can be trusted. */
const WHILE_ALIVE: Row = { ...ALWAYS, stopped: 'not.ready', failed: 'engine.died' }
const ONLY_PRIMARY: Row = {
  starting: 'not.ready',
  primary: 'yes',
  mirror: 'not.primary',
  promoting: 'not.ready',
  copying: 'not.primary',
  unfit: 'not.primary',
  fenced: 'not.primary',
  stopping: 'not.ready',
  stopped: 'not.ready',
  failed: 'engine.died',
}

export const accepts: { readonly [R in RoleRequest]: Row } = {
  'fts.probe': { ...WHILE_ALIVE, fenced: 'not.primary', stopping: 'not.ready' },
  'segment.promote': {
    ...WHILE_ALIVE,
    copying: 'not.ready',
    unfit: 'wal.diverged',
    fenced: 'not.mirror',
    stopping: 'not.ready',
  },
  'segment.syncRepOff': {
    ...ONLY_PRIMARY,
    // A restarted primary may still be told that its mirror is down; a promotion has turned it off already.
    starting: 'yes',
    promoting: 'yes',
  },
  'epoch.promise': WHILE_ALIVE,
  'standby.mark': WHILE_ALIVE,
  'dispatch.open': ONLY_PRIMARY,
  'dispatch.settled': ONLY_PRIMARY,
  'wal.identify': WHILE_ALIVE,
  'wal.start': ONLY_PRIMARY,
  'copy.begin': ONLY_PRIMARY,
  'instance.status': ALWAYS,
  'instance.stop': ALWAYS,
  'instance.assign': WHILE_ALIVE,
  'instance.configure': WHILE_ALIVE,
}

/** It has no role yet, and its next one may be primary: who wants one waits for that instead of being refused. */
export function mayBePrimarySoon(state: RoleState, assigned: Role): boolean {
  return state === 'promoting' || (state === 'starting' && assigned === 'p')
}

/** Who refuses, for the sentence. */
export interface Refuser {
  readonly dbid: number
  readonly content: number
  readonly reason: string
}

/** Returns the error with which the request is refused in this state, or undefined when it is accepted. */
export function refusal(request: RoleRequest, state: RoleState, who: Refuser): MirabelleError | undefined {
  const verdict = accepts[request][state]
  if (verdict === 'yes') return undefined
  const why = who.reason === '' ? '' : `: ${who.reason}`
  return new MirabelleError(
    verdict,
    `${request} is refused by dbid ${who.dbid} of content ${who.content}, which is ${state}${why}.`,
    { detail: { dbid: who.dbid, content: who.content, state, request } },
  )
}
