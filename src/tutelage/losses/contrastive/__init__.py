"""Contrastive knowledge: which student's and teacher's embeddings belong together, and which do not."""

from __future__ import annotations

from tutelage.losses.contrastive.batch_contrast import BatchContrast
from tutelage.losses.contrastive.embedding_contrast import EmbeddingContrast
from tutelage.losses.contrastive.memory_contrast import MemoryContrast
from tutelage.losses.contrastive.self_supervised_similarity import SelfSupervisedSimilarity
from tutelage.losses.contrastive.view_contrast import ViewContrast

__all__ = ["BatchContrast", "EmbeddingContrast", "MemoryContrast", "SelfSupervisedSimilarity", "ViewContrast"]
