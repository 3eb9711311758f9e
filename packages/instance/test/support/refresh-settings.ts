/** Settings under which a mirror refreshes its base after a few MB of WAL. */
export const REFRESH_SETTINGS = { mirror_base_refresh_size: '3MB', max_wal_size: '8MB' }
