/**
 * Which of two sets of settings is the newer one. The coordinator's catalog counts their changes; what it sends carries the count and its epoch. An
 * instance keeps the newest that it has seen, so that a message that was delayed, or a start by somebody who does not know the catalog, never takes
 * it back to older ones.
 */
import type { Epoch } from './ids.ts'

/** Where the texts of an assignment say how new they are. */
const STAMP = 'mirabelle.settings-stamp'
/** Entries of an assignment's texts that are no settings. */
const OWN_ENTRY = /^mirabelle\./

/** Texts of settings by name, as assignments hold them. */
export type SettingTexts = Readonly<Record<string, string>>

/** Texts that the catalog of a coordinator of `epoch` held after its `version`th change. */
export function stamped(texts: SettingTexts, epoch: Epoch, version: number): SettingTexts {
  return { ...texts, [STAMP]: `${epoch}.${version}` }
}

function stampOf(texts: SettingTexts): readonly [Epoch, number] {
  const [epoch = 0, version = 0] = (texts[STAMP] ?? '0.0').split('.').map(Number)
  return [epoch, version]
}

/** Whether `given` come from a later state of the catalog than `held`. Texts without a stamp are older than any with one. */
export function areNewer(given: SettingTexts, held: SettingTexts): boolean {
  const [epoch, version] = stampOf(given)
  const [heldEpoch, heldVersion] = stampOf(held)
  return epoch > heldEpoch || (epoch === heldEpoch && version > heldVersion)
}

/** The settings of `from`, with the entries of `keep` that are no settings. */
export function withSettingsOf(from: SettingTexts, keep: SettingTexts): Record<string, string> {
  const entries = [
    ...Object.entries(from).filter(([name]) => name === STAMP || !OWN_ENTRY.test(name)),
    ...Object.entries(keep).filter(([name]) => name !== STAMP && OWN_ENTRY.test(name)),
  ]
  return Object.fromEntries(entries)
}
