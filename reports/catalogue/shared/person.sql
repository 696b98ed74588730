{place}, person AS (
  SELECT r.resident_key, r.name_mask, r.sex, h.dwelling_id,
    p.building_id, p.grid_id, p.community, p.floor, p.lift,
    coalesce(r.living = 'alone', false) OR coalesce(h.type = 'alone', false) AS alone,
    date_diff('month', try_strptime(left(replace(r.birth_ym, '-', ''), 6), '%Y%m'),
      $as_of::TIMESTAMP) // 12 AS age
  FROM resident r
  LEFT JOIN household h ON h.household_id = r.household_id
  LEFT JOIN place p ON p.dwelling_id = h.dwelling_id
  WHERE (r.death_date IS NULL OR r.death_date > $as_of)
    AND ($region = '' OR p.dwelling_id IS NOT NULL)
)
