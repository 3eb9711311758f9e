/** Brings the live views that a statement reads up to date, just before it runs; whatever kind of plan it has. */
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { NO_SETTINGS } from '../lanes/lane-item.ts'
import { SETTINGS_TABLE, settingsViewSql } from '../views/settings-view.ts'
import { runLocal } from './run-on.ts'
import type { Scope } from './scope.ts'

export async function refreshLiveViews(scope: Scope, names: readonly string[] | undefined): Promise<void> {
  if (names === undefined) return
  const { hooks } = scope.services
  const others = names.filter((name) => name !== SETTINGS_TABLE)
  const statements = [
    // They are the session's: it may have other values than the cluster.
    names.includes(SETTINGS_TABLE)
      ? settingsViewSql(hooks.settingRows(), (name) => scope.shownSetting(name))
      : undefined,
    others.length === 0 ? undefined : await hooks.refreshLiveViews(others),
  ].filter((sql) => sql !== undefined)
  if (statements.length === 0) return
  const refresh = statements.join('; ')
  await runLocal(scope, { bytes: queryMessage(refresh), syncs: 1, settings: NO_SETTINGS, write: true })
}
