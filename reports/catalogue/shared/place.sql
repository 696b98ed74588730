place AS (
  SELECT d.dwelling_id, d.floor, b.building_id, b.lift, g.grid_id, g.community
  FROM dwelling d
  LEFT JOIN building b ON b.building_id = d.building_id
  LEFT JOIN grid g ON g.grid_id = b.grid_id
  WHERE $region = '' OR starts_with(g.community, $region)
)
