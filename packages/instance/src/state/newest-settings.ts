/**
 * Which settings an instance keeps when it is given an assignment: those of the later state of the catalog. Whoever starts an instance need not
 * know the catalog (an administrator starts a coordinator before its catalog can be read), and a message may be old.
 */
import { areNewer, withSettingsOf, type Assignment } from '@mirabelle/messages'

/** `given`, with the settings of `held` when those are newer. */
export function withNewestSettings(given: Assignment, held: Assignment | undefined): Assignment {
  if (held === undefined || !areNewer(held.settings, given.settings)) return given
  return { ...given, settings: withSettingsOf(held.settings, given.settings) }
}
