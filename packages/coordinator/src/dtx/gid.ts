/** Names of distributed transactions: they say who takes part, so that anyone who finds one knows whom to ask. */
import type { Content, Gid } from '@mirabelle/messages'

const PATTERN = /^mb_([0-9a-f]+)_(\d+)_(-?\d+(?:\.-?\d+)*)$/

/** Makes the gid of the `number`th distributed transaction of a coordinator incarnation. */
export function makeGid(incarnation: string, number: number, participants: readonly Content[]): Gid {
  return `mb_${incarnation}_${number}_${participants.join('.')}`
}

/** The contents that take part, or undefined when the name is not one of ours. */
export function participantsOf(gid: Gid): Content[] | undefined {
  const match = PATTERN.exec(gid)
  return match === null ? undefined : (match[3] as string).split('.').map(Number)
}

/** True when this incarnation made the gid. */
export function isOwnGid(gid: Gid, incarnation: string): boolean {
  return PATTERN.exec(gid)?.[1] === incarnation
}
