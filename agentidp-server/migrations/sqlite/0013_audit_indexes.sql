-- Keeps the numbers equal: here the events never had more than the two indexes of 0010.
SELECT 1;
